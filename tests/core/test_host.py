"""What belongs to no flow and finds a socket of the host's is the host's; no port of the host's is given out."""

from __future__ import annotations

import pytest

from ipmasq.core.barred import MOST_ASKED
from ipmasq.core.host import SocketMatch
from ipmasq.core.policy import Behaviour, Forward, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from tests.conformance import packets
from tests.conformance.packets import ACK, SYN
from tests.conformance.world import E1, IN1, IN2, OUT1, OUT2, World

TCP, UDP = 6, 17
Held = dict[tuple[int, int], Endpoint | None]


def host_with(world: World, sockets: Held) -> None:
    """`sockets`: protocol and port, and the remote endpoint that one is connected to."""

    def holds(protocol: int, remote: Endpoint, local: Endpoint) -> SocketMatch:
        if (protocol, local.port) not in sockets:
            return SocketMatch.NONE
        peer = sockets[protocol, local.port]
        if peer is None:
            return SocketMatch.ANY_REMOTE
        return SocketMatch.CONNECTED if peer == remote else SocketMatch.NONE

    world.engine.set_socket_lookup(holds)


def mapped(world: World, protocol: int = UDP) -> int:
    """The public port of a flow to OUT1, port 53."""
    if protocol == UDP:
        return world.udp(IN1, 5000, OUT1, 53).one.source.port
    return world.send(packets.tcp(IN1, 5000, OUT1, 53, SYN)).one.source.port


def test_what_finds_a_socket_and_no_mapping_is_the_hosts() -> None:
    world = World()
    assert world.udp(OUT1, 53, E1, 61001).reason is Reason.NO_MAPPING
    host_with(world, {(UDP, 61001): None, (TCP, 61002): Endpoint(OUT1, 53)})
    assert world.udp(OUT1, 53, E1, 61001).reason is Reason.HOST
    assert world.udp(OUT1, 53, E1, 61002).reason is Reason.NO_MAPPING
    for flags in (SYN | ACK, ACK):
        assert world.send(packets.tcp(OUT1, 53, E1, 61002, flags)).reason is Reason.HOST
        assert world.send(packets.tcp(OUT1, 54, E1, 61002, flags)).reason is Reason.NO_MAPPING


@pytest.mark.row("A-22")
def test_what_a_mapping_admits_is_not_the_hosts_whoever_has_bound_its_port() -> None:
    world = World()
    port = mapped(world)
    host_with(world, {(UDP, port): None})
    assert world.udp(OUT1, 53, E1, port).reaches(IN1, 5000)
    assert world.udp(OUT1, 54, E1, port).reaches(IN1, 5000)


def test_what_a_mapping_does_not_admit_is_the_hosts_if_it_has_a_socket() -> None:
    world = World()
    port = mapped(world)
    assert world.udp(OUT2, 53, E1, port).reason is Reason.FILTERED
    host_with(world, {(UDP, port): None})
    assert world.udp(OUT2, 53, E1, port).reason is Reason.HOST


@pytest.mark.parametrize("filtering", Behaviour)
def test_an_answer_to_the_host_is_the_hosts_although_the_mapping_would_admit_it(
    filtering: Behaviour,
) -> None:
    world = World(filtering=filtering)
    port = mapped(world)
    host_with(world, {(UDP, port): Endpoint(OUT1, 54)})
    assert world.udp(OUT1, 54, E1, port).reason is Reason.HOST
    assert world.udp(OUT1, 53, E1, port).reaches(
        IN1, 5000
    )  # a flow's own five-tuple stays the flow's


def test_a_segment_of_the_hosts_connection_is_the_hosts_beside_a_mapping() -> None:
    world = World()
    port = mapped(world, TCP)
    answer = packets.tcp(OUT1, 54, E1, port, SYN | ACK)
    assert world.send(answer).reason is Reason.NO_FLOW
    host_with(world, {(TCP, port): Endpoint(OUT1, 54)})
    assert world.send(answer).reason is Reason.HOST


def test_answers_from_inside_to_the_hosts_public_address_are_the_hosts() -> None:
    world = World()
    assert world.udp(IN2, 53, E1, 61001).reason is Reason.NO_MAPPING
    host_with(world, {(UDP, 61001): Endpoint(IN2, 53)})
    assert world.udp(IN2, 53, E1, 61001).reason is Reason.HOST


def test_a_forwarded_port_is_the_forwards_whoever_has_bound_it() -> None:
    forward = Forward("dns", UDP, None, PortRange(61001, 61001), IN2, 53)
    world = World(forwards=(forward,))
    host_with(world, {(UDP, 61001): None})
    assert world.udp(OUT1, 53, E1, 61001).reaches(IN2, 53)


@pytest.mark.row("A-22")
@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_a_port_that_the_host_uses_at_that_moment_is_not_given_out(protocol: int) -> None:
    world = World(ports=PortRange(61000, 61009))
    host_with(world, {(protocol, port): None for port in range(61000, 61010) if port != 61007})
    assert mapped(world, protocol) == 61007


@pytest.mark.row("A-22", "A-21")
@pytest.mark.parametrize("protocol", [UDP, TCP])
def test_whoever_takes_all_ports_of_the_range_on_the_host_keeps_no_flow_from_opening(
    protocol: int,
) -> None:
    world = World(ports=PortRange(61000, 65095))
    questions = 0

    def holds(*_: object) -> SocketMatch:
        nonlocal questions
        questions += 1
        return SocketMatch.ANY_REMOTE

    world.engine.set_socket_lookup(holds)
    left = frozenset((protocol, port) for port in range(61000, 61064))
    world.engine.reserve(left)
    port = mapped(world, protocol)
    assert (protocol, port) not in left
    assert questions <= MOST_ASKED


def test_a_socket_that_is_connected_to_somebody_else_bars_no_port() -> None:
    world = World(ports=PortRange(61000, 61000))
    host_with(world, {(UDP, 61000): Endpoint(OUT2, 53)})
    assert mapped(world) == 61000


def test_explain_says_that_the_host_has_it() -> None:
    world = World()
    host_with(world, {(UDP, 61001): None})
    said = world.engine.explain(
        UDP, Endpoint(OUT1, 53), Endpoint(E1, 61001), Side.OUTSIDE, world.now
    )
    assert said.verdict == (
        "would go to the gateway host itself: a socket of the gateway host has this port"
    )
    assert "a socket of the gateway host has this port" in said.steps
