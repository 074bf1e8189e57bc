"""Many flows go on in the kernel as soon as another gateway has taken over, before its engine has restored them."""

from __future__ import annotations

import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.live.continuity.pair import INSIDE, REMOTE, Pair, eventually
from tests.live.continuity.traffic import Told

pytestmark = pytest.mark.live

CLIENTS, SERVERS = 60, 500
"""So many sockets inside talk with each of so many outside: it takes a second or more to restore these flows."""
FIRST = 6000
LAST = 50
"""The flows that are tried: those that would be restored last."""


@contextmanager
def echo(pair: Pair) -> Iterator[None]:
    """Answer datagrams to all servers."""
    over, ready = threading.Event(), threading.Event()

    def serve() -> None:
        with selectors.DefaultSelector() as waiting:
            for port in range(FIRST, FIRST + SERVERS):
                server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                server.bind((REMOTE, port))
                waiting.register(server, selectors.EVENT_READ)
            ready.set()
            while not over.is_set():
                for key, _ in waiting.select(0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    key.fileobj.sendto(*key.fileobj.recvfrom(100))
            for key in list(waiting.get_map().values()):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()

    serving = Told(pair, "out", serve)
    assert ready.wait(10)
    try:
        yield
    finally:
        over.set()
        serving.result()


def open_all(client: socket.socket, until: float) -> None:
    """Talk with all servers. The gateway limits how many flows a host opens in a second."""
    missing = set(range(FIRST, FIRST + SERVERS))
    while missing:
        assert time.monotonic() < until, f"{len(missing)} do not answer"
        for port in sorted(missing)[:100]:
            client.sendto(b"1", (REMOTE, port))
        try:
            while True:
                missing.discard(client.recvfrom(100)[1][1])
        except TimeoutError:
            pass


def answers(client: socket.socket, seconds: float) -> int:
    """Return from how many of the last servers an answer comes."""
    came, until = set(), time.monotonic() + seconds
    for port in range(FIRST + SERVERS - LAST, FIRST + SERVERS):
        client.sendto(b"2", (REMOTE, port))
    while len(came) < LAST and time.monotonic() < until:
        try:
            came.add(client.recvfrom(100)[1])
        except TimeoutError:
            continue
    return len(came)


def mac(pair: Pair, host: str) -> str:
    with pair.at(host), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth", 0))
        return str(raw.getsockname()[4].hex(":"))


@pytest.mark.parametrize("two", ["ebpf-tc"], indirect=True)
def test_flows_that_are_not_restored_yet_are_forwarded_by_the_kernel(two: Pair) -> None:
    """The gateway stands still while packets of the last flows pass, one in each direction. It knows its neighbours, for
    whom a packet would otherwise wait in the kernel."""
    with two.at("in"):
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(CLIENTS)]
    with echo(two):
        until = time.monotonic() + 120
        for client in clients:
            client.settimeout(0.02)
            client.bind((INSIDE, 0))
            open_all(client, until)
        flows = CLIENTS * SERVERS
        eventually(lambda: two.follows("gw2") and two.status("gw2")["records"] >= flows, 60)
        two.ip("gw2", f"neigh replace {INSIDE} lladdr {mac(two, 'in')} dev gi")
        two.ip("gw2", f"neigh replace {REMOTE} lladdr {mac(two, 'out')} dev go")
        two.cut("gw1")
        two.kill("gw1")
        two.activate("gw2")
        gateway = two.processes["gw2"]
        gateway.send_signal(signal.SIGSTOP)
        forwarded = answers(clients[-1], 0.5)
        gateway.send_signal(signal.SIGCONT)
        assert forwarded == LAST
        for client in clients[0], clients[-1]:
            eventually(lambda client=client: answers(client, 1.0) == LAST)  # type: ignore[misc]
    for client in clients:
        client.close()
