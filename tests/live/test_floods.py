"""Floods from either side, and the conversations of others meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ipmasq.wire.addresses import to_address
from tests.conformance import packets
from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running
from tests.live.test_tun import tcp_server
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]
FLOODER = "10.0.0.3"
FEW = 200
"""Lines of a conversation, one after the other."""
FEWEST = 200
"""Openings a second that may come to the engine: far fewer than any machine can send."""
MOST = 2_000_000
"""Packets of a flood at the most."""


@contextmanager
def flood(network: Network, host: str, make: Callable[[int], bytes], to: str) -> Iterator[None]:
    """As fast as one thread can send, meanwhile."""
    over = threading.Event()
    begun = threading.Event()
    with network.at(host):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send() -> None:
        for number in range(MOST):
            if over.is_set():
                return
            raw.sendto(make(number), (to, 0))
            if number == 5_000:
                begun.set()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        over.set()
        sender.join()
        raw.close()


def syn(source: str, destination: str, number: int, port: int = 0) -> bytes:
    ends = (
        to_address(source),
        1024 + number % 60000,
        to_address(destination),
        port or 1 + number % 60000,
    )
    return packets.tcp(*ends, packets.SYN)


def from_inside(number: int) -> bytes:
    return syn(FLOODER, REMOTE, number, 80)


def from_outside(number: int) -> bytes:
    return syn(f"198.18.{number >> 8 & 255}.{number & 255}", PUBLIC, number, 61000 + number % 4000)


def converse(client: socket.socket, server: socket.socket, lines: int) -> None:
    """PORT commands, each rewritten and answered. Raises TimeoutError."""
    for number in range(lines):
        client.sendall(b"PORT 10,0,0,2,200,%d\r\n" % (number % 256))
        heard = b""
        while not heard.endswith(b"\r\n"):
            heard += server.recv(1000)
        assert heard.startswith(b"PORT 203,0,113,1,"), heard
        server.sendall(b"200 done\r\n")
        assert client.recv(1000) == b"200 done\r\n"


@pytest.mark.row("A-21")
@pytest.mark.parametrize("side", ["in", "out"])
def test_a_control_connection_goes_on_while_others_flood_the_gateway(
    network: Network, gateway: Start, side: str
) -> None:
    network.ip("in", f"addr add {FLOODER}/24 dev eth")
    running = gateway(
        plane="ebpf-tc",
        ftp=True,
        limits={"untracked_pps_per_host": FEWEST, "untracked_pps_per_side": FEWEST},
    )
    make, to = (from_inside, REMOTE) if side == "in" else (from_outside, PUBLIC)
    with tcp_server(network, "out", REMOTE, 21) as listening:
        with network.at("in"):
            client = socket.create_connection((REMOTE, 21), 5, (INSIDE_HOST, 0))
        server = listening.accept()[0]
        server.settimeout(5)
        with client, server:
            converse(client, server, 20)
            started = time.monotonic()
            before = running.ask()["slow"]
            with flood(network, side, make, to):
                converse(client, server, FEW)
            took = time.monotonic() - started
            facts = running.ask()
    dropped = sum(n for name, n in facts["left"].items() if name.startswith("dropped."))
    passed = facts["slow"] - before
    assert passed < 3 * FEWEST * (1 + took) + 10 * FEW
    assert dropped > passed - 10 * FEW


def test_what_belongs_to_flows_is_known_as_soon_as_they_are_opened(
    network: Network, gateway: Start
) -> None:
    running = gateway(
        plane="ebpf-tc", limits={"untracked_pps_per_host": 1, "untracked_pps_per_side": 4}
    )
    with tcp_server(network, "out", REMOTE, 5000) as server, network.at("in"):
        client = socket.create_connection((REMOTE, 5000), 5)
        with client, server.accept()[0] as accepted:
            client.sendall(b"ask")
            assert accepted.recv(3) == b"ask"
    assert eventually(lambda: running.ask()["flows"][0][0] in ("CLOSE_WAIT", "TIME_WAIT"))
    assert not [name for name in running.ask()["left"] if name.startswith("dropped.")]
