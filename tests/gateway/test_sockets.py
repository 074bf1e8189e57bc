"""What the kernel says of real sockets of this host."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from ipmasq.core.host import SocketMatch
from ipmasq.core.policy import PortRange
from ipmasq.gateway import sockets
from ipmasq.gateway.sockets import Sockets, served
from ipmasq.wire.addresses import Endpoint, to_address

TCP, UDP = 6, 17
HERE, THERE = to_address("127.0.0.1"), Endpoint(to_address("127.0.0.9"), 53)
KINDS = {TCP: socket.SOCK_STREAM, UDP: socket.SOCK_DGRAM}


def local(of: socket.socket) -> Endpoint:
    return Endpoint(HERE, of.getsockname()[1])


@pytest.fixture
def asked() -> Sockets:
    found = Sockets()
    if not found.has_sock_diag:
        pytest.skip("this kernel has no sock_diag for both protocols")
    return found


@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_socket_is_found_from_the_moment_it_is_there_until_it_is_gone(
    asked: Sockets, protocol: int, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, KINDS[protocol]) as each:
        each.bind((address, 0))
        if protocol == TCP:
            each.listen()
        endpoint = local(each)
        assert asked.find_socket(protocol, THERE, endpoint) is SocketMatch.ANY_REMOTE
        assert asked.find_socket(TCP + UDP - protocol, THERE, endpoint) is SocketMatch.NONE
    assert asked.find_socket(protocol, THERE, endpoint) is SocketMatch.NONE


def test_a_connected_socket_is_one_for_its_peer_alone(asked: Sockets) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as each:
        each.bind(("127.0.0.1", 0))
        each.connect(("127.0.0.9", 53))
        assert asked.find_socket(UDP, THERE, local(each)) is SocketMatch.CONNECTED
        assert asked.find_socket(UDP, THERE._replace(port=54), local(each)) is SocketMatch.NONE


def test_an_open_connection_is_one_for_its_peer_alone(asked: Sockets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        with client:
            peer = Endpoint(HERE, server.getsockname()[1])
            assert asked.find_socket(TCP, peer, local(client)) is SocketMatch.CONNECTED
            assert asked.find_socket(TCP, peer._replace(port=9), local(client)) is SocketMatch.NONE


@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1", "::1"])
def test_of_a_range_those_sockets_are_listed_that_others_can_reach(
    asked: Sockets, protocol: int, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, KINDS[protocol]) as each:
        each.bind((address, 0))
        if protocol == TCP:
            each.listen()
        port = each.getsockname()[1]
        used = frozenset({(protocol, port)}) if address in ("0.0.0.0", "::") else frozenset()
        assert asked.used((PortRange(port, port),)) & {(protocol, port)} == used
        assert (protocol, port) not in asked.used(
            (PortRange(1, port - 1), PortRange(port + 1, 65535))
        )


@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize(
    ("bound", "found"),
    [
        ("0.0.0.0", True),
        ("::", True),
        ("::ffff:127.0.0.1", True),
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("::1", False),
    ],
)
def test_a_port_is_served_at_the_addresses_of_its_socket_alone(
    asked: Sockets, protocol: int, bound: str, found: bool
) -> None:
    with socket.socket(socket.AF_INET6 if ":" in bound else socket.AF_INET, KINDS[protocol]) as one:
        one.bind((bound, 0))
        if protocol == TCP:
            one.listen()
        port = one.getsockname()[1]
        around = PortRange(port, min(port + 5, 65535))
        expected = port if found else None
        assert served(protocol, HERE, around, "lo") == expected
        assert served(protocol, HERE, around, "") == expected
        assert served(TCP + UDP - protocol, HERE, PortRange(port, port), "lo") is None


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_a_connection_serves_nobody_else(asked: Sockets, protocol: int) -> None:
    with (
        socket.socket(socket.AF_INET, KINDS[protocol]) as server,
        socket.socket(socket.AF_INET, KINDS[protocol]) as client,
    ):
        server.bind(("127.0.0.1", 0))
        if protocol == TCP:
            server.listen()
        client.connect(server.getsockname())
        port = client.getsockname()[1]
        assert served(protocol, HERE, PortRange(port, port), "lo") is None


@pytest.mark.row("A-22")
def test_of_very_many_sockets_few_are_listed(
    asked: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MOST_LISTED", 3)
    with ExitStack() as ends:
        ports = set()
        for _ in range(20):
            each = ends.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            each.bind(("0.0.0.0", 0))
            ports.add((UDP, each.getsockname()[1]))
        listed = asked.used((PortRange(1, 65535),))
        assert len(listed & ports) <= 3
        assert len({each for each in listed if each[0] == UDP}) <= 2 * 3  # of each family


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_a_kernel_that_cannot_be_asked_has_its_list_read(
    monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    # As of a kernel without inet_diag, which says of every socket that there is none.
    monkeypatch.setattr(sockets, "_HEAD", sockets.HEADER.pack(sockets._SIZE, 99, 1, 0, 0))
    listed = Sockets()
    assert not listed.has_sock_diag
    with socket.socket(socket.AF_INET, KINDS[protocol]) as each:
        each.bind(("0.0.0.0", 0))
        if protocol == TCP:
            each.listen()
        assert listed.find_socket(protocol, THERE, local(each)) is SocketMatch.ANY_REMOTE
        port = each.getsockname()[1]
        assert listed.used((PortRange(port, port),)) == {(protocol, port)}
    listed._listed_at = -sockets.LIST_AGE
    assert listed.find_socket(protocol, THERE, Endpoint(HERE, 1)) is SocketMatch.NONE
