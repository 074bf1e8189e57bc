"""Connections that are over, or look as if they were: which of them still count, and which are closed to make room."""

from __future__ import annotations

from random import Random

import pytest

from ipmasq.core.host import SocketMatch
from ipmasq.core.policy import Behaviour, Forward, Limits, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint, to_address
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import ACK, FIN, PSH, RST, SYN, TCP
from tests.conformance.world import E1, IN1, IN2, OFF, OUT1, OUT2, World

WEB = Forward("web", TCP, None, PortRange(80, 80), IN1, 80)
SHARING = Behaviour.ADDRESS_AND_PORT_DEPENDENT


def scale(shift: int) -> bytes:
    return bytes((1, 3, 3, shift))


def opened(world: World, host: bytes, port: int) -> Endpoint | None:
    """A connection to a server outside, and the public endpoint that it got; None if it was refused."""
    syn = world.tcp(host, port, OUT1, 443, SYN, seq=1000)
    if not syn.packets:
        return None
    public = syn.one.source
    world.tcp(OUT1, 443, *public, SYN | ACK, seq=900_000, ack=1001).reaches(host, port)
    world.tcp(host, port, OUT1, 443, ACK, seq=1001, ack=900_001)
    return public


def reset_and_gone_on(world: World, host: bytes, port: int) -> bool:
    """A connection that is reset by its own end, and said something in all the same."""
    if opened(world, host, port) is None:
        return False
    world.tcp(host, port, OUT1, 443, RST, seq=1001)
    world.tcp(host, port, OUT1, 443, ACK | PSH, seq=1001, ack=900_001, payload=b"x")
    return True


@pytest.mark.row("7857-2")
def test_a_connection_that_goes_on_after_a_reset_has_its_port_and_counts_again() -> None:
    world = World(limits=Limits(flows_per_host=5, ports_per_host=5))
    assert reset_and_gone_on(world, IN1, 5000)
    (flow,) = world.engine.table.flows.values()
    assert str(flow.state) == "established"
    assert flow.mapping is not None
    assert world.engine.table.hosts == {IN1: 1}
    world.engine.check()


@pytest.mark.row("A-21")
def test_resets_get_no_host_round_its_share_of_flows_and_ports() -> None:
    world = World(limits=Limits(flows=60, flows_per_host=5, ports_per_host=5))
    lived = sum(reset_and_gone_on(world, IN2, 2000 + number) for number in range(60))
    assert lived == 5
    assert sum(world.engine.table.mappings.ports.values()) == 5
    world.tcp(IN1, 5000, OUT2, 80, SYN, seq=7).leaves_from(E1)
    world.engine.check()


@pytest.mark.row("A-29")
def test_forged_connections_that_are_reset_and_go_on_fill_no_table() -> None:
    world, chance = World(forwards=(WEB,), limits=Limits(flows=40, flows_per_host=5)), Random(3)
    for number in range(200):
        source, port = bytes((198, 51, 100, 1 + number)), 1024 + number
        if not world.tcp(source, port, E1, 80, SYN, seq=1000, options=scale(14)).packets:
            break
        first = chance.randrange(1 << 32)
        world.tcp(IN1, 80, source, port, SYN | ACK, seq=first, ack=1001, options=scale(7))
        world.tcp(source, port, E1, 80, RST, seq=1001)
        for ack in (0x40000000, 0xC0000000):
            world.tcp(source, port, E1, 80, ACK, seq=1001, ack=ack, payload=b"x")
    assert world.tcp(IN2, 5000, OUT2, 443, SYN, seq=7).reason is Reason.TRANSLATED


@pytest.mark.row("A-29")
def test_a_download_with_much_under_way_does_not_give_way_to_a_flood() -> None:
    world = World(forwards=(WEB,), limits=Limits(flows_per_host=3))
    world.tcp(OUT1, 4000, E1, 80, SYN, seq=1000, options=scale(9))
    world.tcp(IN1, 80, OUT1, 4000, SYN | ACK, seq=5000, ack=1001, options=scale(9))
    world.tcp(OUT1, 4000, E1, 80, ACK, seq=1001, ack=5001)
    said = 5001
    for _ in range(900):
        world.tcp(IN1, 80, OUT1, 4000, ACK, seq=said, ack=1001, payload=bytes(1400))
        said += 1400
    for number in range(3):
        world.tcp(OFF, 6000 + number, E1, 80, SYN, seq=1)
    last = world.tcp(IN1, 80, OUT1, 4000, ACK, seq=said, ack=1001, payload=bytes(1400))
    assert last.reason is Reason.TRANSLATED


@pytest.mark.row("A-31")
def test_a_shared_port_goes_to_nobody_else_before_both_fins_are_acknowledged() -> None:
    world = World(mapping=SHARING, ports=PortRange(61000, 61000))
    opened(world, IN1, 5000)
    world.tcp(OUT1, 443, E1, 61000, ACK, seq=900_001, ack=1001, payload=b"S" * 1000)
    world.tcp(OUT1, 443, E1, 61000, ACK | FIN, seq=901_001, ack=1001)
    world.tcp(IN1, 5000, OUT1, 443, ACK | FIN, seq=1001, ack=900_001)
    assert world.tcp(IN2, 6000, OUT1, 443, SYN, seq=7).reason is Reason.NO_PORTS
    again = world.tcp(OUT1, 443, E1, 61000, ACK, seq=900_001, ack=1002, payload=b"S" * 1000)
    again.reaches(IN1, 5000)
    world.engine.check()


@pytest.mark.parametrize("behaviour", [SHARING, Behaviour.ENDPOINT_INDEPENDENT])
def test_a_user_who_binds_every_port_costs_a_flow_a_bounded_number_of_questions(
    behaviour: Behaviour,
) -> None:
    asked = 0

    def holds(protocol: int, remote: Endpoint, local: Endpoint) -> SocketMatch:
        nonlocal asked
        asked += 1
        return SocketMatch.ANY_REMOTE

    world = World(ports=PortRange(20000, 60999), mapping=behaviour)
    world.engine.set_socket_lookup(holds)
    world.engine.receive(
        Packet(bytearray(packets.udp(IN1, 5000, OUT1, 53))), Side.INSIDE, world.now
    )
    assert asked < 200


@pytest.mark.parametrize("source", ["10.0.0.255", "10.0.0.0", "10.0.0.1"])
def test_nobody_is_told_of_a_refusal_who_cannot_be_one_inside_host(source: str) -> None:
    world = World()
    segment = packets.tcp(to_address(source), 22, OUT1, 443, ACK, seq=1, ack=2)
    world.send(segment, Side.INSIDE).is_unanswered()
