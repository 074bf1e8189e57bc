"""A process on the gateway itself that takes the public port of a live flow of another host (A-22)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network, Running
from tests.live.test_tun import tcp_server, tcp_talk, udp_socket

pytestmark = [pytest.mark.live, pytest.mark.row("A-22")]

Start = Callable[..., Running]
Bind = Callable[[socket.socket, int], None]

FREE = 65000
"""A port of the range that no mapping has in these tests: by it one sees that the gateway has looked."""


def anywhere(thief: socket.socket, port: int) -> None:
    thief.bind(("0.0.0.0", port))


def at_the_public_address(thief: socket.socket, port: int) -> None:
    thief.bind((PUBLIC, port))


def as_the_flow(thief: socket.socket, port: int) -> None:
    """The flow's own five-tuple: the kernel finds such a socket before it looks for a route."""
    thief.bind((PUBLIC, port))
    with suppress(BlockingIOError):  # TCP: its SYN is under way
        thief.connect((REMOTE, 5000))


BINDS = [anywhere, at_the_public_address, as_the_flow]


@pytest.fixture(params=["tun", "ebpf-tc", "ebpf-xdp"])
def running(request: pytest.FixtureRequest, network: Network, gateway: Start) -> Running:
    if request.param == "ebpf-xdp":
        for host in ("in", "out"):
            network.features(host, "eth", "tx", "off", "gro", "on")
    return gateway(plane=request.param, ports=f"61000-{FREE}")


def thief_of(network: Network, kind: socket.SocketKind) -> socket.socket:
    with network.at("gw"):
        thief = socket.socket(socket.AF_INET, kind)
    thief.setblocking(False)
    return thief


def let_the_gateway_look(running: Running, protocol: socket.SocketKind, free: int = FREE) -> None:
    """Until it has given up the last port of its range, which nobody has a mapping of."""
    with thief_of(running.network, protocol) as other:
        other.bind(("0.0.0.0", free))
        if protocol is socket.SOCK_STREAM:
            other.listen()
        assert running.has_rule(f"dport {free}-65534")


def port_of(mapped: tuple[str, int]) -> int:
    assert mapped[0] == PUBLIC
    return mapped[1]


@pytest.mark.parametrize("bind", BINDS)
def test_datagrams_of_a_living_flow_are_its_own_whoever_takes_its_port(
    network: Network, running: Running, bind: Bind
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(udp_socket(network, "out", REMOTE, 5000))
        stranger = stack.enter_context(udp_socket(network, "out", REMOTE, 5001))
        client = stack.enter_context(udp_socket(network, "in"))
        client.sendto(b"ask", (REMOTE, 5000))
        public = server.recvfrom(100)[1]
        server.sendto(b"before", public)
        assert client.recv(100) == b"before"
        thief = stack.enter_context(thief_of(network, socket.SOCK_DGRAM))
        bind(thief, port_of(public))
        let_the_gateway_look(running, socket.SOCK_DGRAM)
        for number in range(10):
            server.sendto(b"answer %d" % number, public)
            assert client.recv(100) == b"answer %d" % number
            client.sendto(b"more", (REMOTE, 5000))
            assert server.recv(100) == b"more"
        stranger.sendto(b"another flow of the mapping", public)
        assert client.recv(100) == b"another flow of the mapping"
        with pytest.raises(BlockingIOError):
            thief.recv(100)


@pytest.mark.parametrize("bind", BINDS)
def test_a_living_connection_goes_on_whoever_takes_its_port(
    network: Network, running: Running, bind: Bind
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(tcp_server(network, "out", REMOTE, 5000))
        with network.at("in"):
            client = stack.enter_context(socket.create_connection((REMOTE, 5000), 5))
        accepted, public = server.accept()
        stack.enter_context(accepted)
        accepted.settimeout(5)
        thief = stack.enter_context(thief_of(network, socket.SOCK_STREAM))
        bind(thief, port_of(public))
        if bind is not as_the_flow:
            thief.listen()
        let_the_gateway_look(running, socket.SOCK_STREAM)
        for number in range(10):
            accepted.sendall(b"answer %d" % number)
            assert client.recv(100) == b"answer %d" % number
            client.sendall(b"more")
            assert accepted.recv(100) == b"more"
        with pytest.raises((BlockingIOError, OSError)):
            thief.recv(100)


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_flows_of_a_range_that_a_reload_has_changed_go_on(
    network: Network, gateway: Start, plane: str
) -> None:
    settings = {"plane": plane, "timeouts": {"tcp_closing": 0.5}}
    running = gateway(**settings, ports="61000-61999")
    with (
        tcp_server(network, "out", REMOTE, 5000) as server,
        thief_of(network, socket.SOCK_STREAM) as thief,
    ):
        with network.at("in"):
            client = socket.create_connection((REMOTE, 5000), 5)
        accepted, public = server.accept()
        with client, accepted:
            running.reload(json.dumps({**settings, "ports": "63000-63999"}))
            assert running.has_rule("dport 62000-62999")
            anywhere(thief, public[1])
            thief.listen()
            let_the_gateway_look(running, socket.SOCK_STREAM, 63999)
            accepted.sendall(b"answer")
            assert client.recv(100) == b"answer"
        assert running.has_rule("dport 1-62999")


@pytest.mark.parametrize("plane", ["tun", "ebpf-tc"])
def test_flows_by_a_forward_that_is_gone_go_on_beside_a_service_of_the_host(
    network: Network, gateway: Start, plane: str
) -> None:
    settings = {"plane": plane, "timeouts": {"tcp_closing": 0.5}}
    running = gateway(**settings, forwards=[["web", 6, 80, INSIDE_HOST, 8080]])
    with tcp_server(network, "in", INSIDE_HOST, 8080) as inside:
        with network.at("out"):
            client = socket.create_connection((PUBLIC, 80), 5)
        accepted = inside.accept()[0]
        with client, accepted:
            running.reload(json.dumps({**settings, "ports": "61000-61999"}))
            assert running.has_rule("dport 62000-65534")
            with tcp_server(network, "gw", "0.0.0.0", 80) as service:
                client.sendall(b"ask")
                assert accepted.recv(100) == b"ask"
                accepted.sendall(b"answer")
                assert client.recv(100) == b"answer"
                assert tcp_talk(network, "out", (PUBLIC, 80), service) == REMOTE
        assert running.has_rule("dport 1-60999")
