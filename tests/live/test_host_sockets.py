"""Sockets of the gateway's own host in the range of public ports: none of them loses anything."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.live.conftest import PUBLIC, REMOTE, Network, Running
from tests.live.test_tun import tcp_talk, udp_socket

pytestmark = pytest.mark.live

Start = Callable[..., Running]

OTHER = "203.0.113.3"
"""Another remote host, to which inside hosts talk."""
QUERIES = 10_000
FLOWS = 500
PORTS = "1024-32767"


@pytest.fixture(params=["tun", "ebpf-tc", "ebpf-xdp"])
def running(request: pytest.FixtureRequest, network: Network, gateway: Start) -> Running:
    network.ip("out", f"addr add {OTHER}/24 dev eth")
    if request.param == "ebpf-xdp":
        for host in ("in", "out"):
            network.features(host, "eth", "tx", "off", "gro", "on")
    return gateway(plane=request.param, ports=PORTS)


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Something that a thread does until the event is set that it is given."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def answering(network: Network, address: str, port: int) -> Iterator[set[int]]:
    """A server that sends every datagram back; the ports that they have come from."""
    ports: set[int] = set()
    with udp_socket(network, "out", address, port) as server:
        server.settimeout(0.2)

        def serve(stop: threading.Event) -> None:
            while not stop.is_set():
                try:
                    said, sender = server.recvfrom(2000)
                except TimeoutError:
                    continue
                ports.add(sender[1])
                server.sendto(said, sender)

        with meanwhile(serve):
            yield ports


@contextmanager
def load(network: Network, remote: str) -> Iterator[None]:
    """An inside host that opens flows all the time: to port 5000 of a remote host."""
    with network.at("in"):
        first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def talk(stop: threading.Event) -> None:
        with network.at("in"):
            while not stop.wait(0.002):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as each:
                    each.sendto(b"ask", (remote, 5000))

    with first, answering(network, remote, 5000):
        first.settimeout(5)
        first.sendto(b"ask", (remote, 5000))
        assert first.recv(10) == b"ask"
        with meanwhile(talk):
            yield


def resolve(network: Network, kind: str) -> dict[str, object]:
    program = Path(__file__).with_name("random_ports.py")
    command = [sys.executable, str(program), REMOTE, "53", str(QUERIES), kind]
    process = network.start("gw", *command)
    try:
        return dict(json.loads(process.communicate(timeout=120)[0]))
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@pytest.mark.parametrize(
    ("kind", "remote"),
    [("unconnected", OTHER), ("dual", OTHER), ("connected", OTHER), ("connected", REMOTE)],
)
def test_a_resolver_that_takes_random_ports_loses_no_answer_under_load(
    network: Network, running: Running, kind: str, remote: str
) -> None:
    with answering(network, REMOTE, 53), load(network, remote):
        said = resolve(network, kind)
    assert said == {"asked": QUERIES, "answered": QUERIES, "lost": []}
    assert len(running.ask()["flows"]) > 50


def test_answers_reach_new_sockets_that_are_bound_to_the_interface(
    network: Network, running: Running
) -> None:
    with answering(network, REMOTE, 53), load(network, OTHER):
        said = resolve(network, "device")
    assert said == {"asked": QUERIES, "answered": QUERIES, "lost": []}


def test_one_that_does_not_connect_loses_no_answer_but_at_ports_in_use_to_its_own_server(
    network: Network, running: Running
) -> None:
    with ExitStack() as clients, answering(network, REMOTE, 53) as ports:
        with network.at("in"):
            for _ in range(FLOWS):
                each = clients.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                each.settimeout(5)
                each.sendto(b"ask", (REMOTE, 53))
                assert each.recv(10) == b"ask"
        taken = set(ports)
        said = resolve(network, "unconnected")
    lost = said["lost"]
    assert isinstance(lost, list)
    assert set(lost) <= taken
    assert said["answered"] == QUERIES - len(lost)


def test_a_connection_of_the_hosts_from_a_port_of_the_range_works_at_once(
    network: Network, running: Running
) -> None:
    with network.at("out"):
        server = socket.create_server((REMOTE, 5000))
    with server:
        for port in range(20000, 20020):
            with network.at("gw"):
                client = socket.create_connection((REMOTE, 5000), 5, (PUBLIC, port))
            with client, server.accept()[0] as accepted:
                accepted.sendall(b"answer")
                assert client.recv(6, socket.MSG_WAITALL) == b"answer"


def test_a_service_of_the_hosts_in_the_range_is_reached_at_once(
    network: Network, running: Running
) -> None:
    with network.at("gw"):
        service = socket.create_server(("0.0.0.0", 20000))
    with service:
        assert tcp_talk(network, "out", (PUBLIC, 20000), service) == REMOTE


@pytest.mark.row("A-22")
def test_a_port_of_the_hosts_is_not_given_out_at_the_moment_it_is_bound(
    network: Network, gateway: Start
) -> None:
    gateway(ports="61000-61007")
    with network.at("gw"):
        held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(7)]
    with (
        udp_socket(network, "out", REMOTE, 5000) as server,
        udp_socket(network, "in") as client,
    ):
        for port, each in enumerate(held, 61000):
            each.bind(("0.0.0.0", port))
        client.sendto(b"ask", (REMOTE, 5000))
        assert server.recvfrom(10)[1] == (PUBLIC, 61007)
        for each in held:
            each.close()
