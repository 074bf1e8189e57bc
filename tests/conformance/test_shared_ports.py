"""`mapping = "address-and-port-dependent"`: flows to different remote endpoints share public ports (RFC 7857, 3)."""

from __future__ import annotations

from collections import Counter

import pytest

from ipmasq.core import events
from ipmasq.core.host import SocketMatch
from ipmasq.core.policy import Behaviour, HelperUse, Limits, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire.addresses import Endpoint
from tests.conformance.conversation import CLIENT, SERVER, Conversation
from tests.conformance.packets import ACK, SYN, TCP, UDP
from tests.conformance.test_ports_last import numbers, short_connection
from tests.conformance.world import E1, E2, IN1, IN2, OFF, OUT1, OUT2, World

SHARING = Behaviour.ADDRESS_AND_PORT_DEPENDENT
FTP = HelperUse("ftp", Ftp, TCP, frozenset((21,)), Ftp.orthogonal)


def server(number: int) -> Endpoint:
    return Endpoint(bytes((198, 51, 100, number % 64)), 443)


@pytest.mark.row("7857-3")
def test_one_port_serves_as_many_flows_as_there_are_remote_endpoints():
    world = World(mapping=SHARING, ports=PortRange(61000, 61000))
    for number in range(50):
        host = IN1 if number % 2 else IN2
        public = world.udp(host, 5000 + number, *server(number)).leaves_from(E1)
        assert public.port == 61000
    for number in range(50):
        host = IN1 if number % 2 else IN2
        world.udp(*server(number), E1, 61000).reaches(host, 5000 + number)
    world.udp(IN1, 4000, *server(7)).is_dropped(Reason.NO_PORTS)
    assert len(list(world.engine.mappings())) == 50
    world.later(301)
    assert not world.engine.table.mappings
    world.udp(IN1, 4000, *server(7)).leaves_from(E1)


@pytest.mark.parametrize("filtering", list(Behaviour))
def test_nobody_without_a_flow_is_let_in_by_a_shared_port(filtering: Behaviour):
    world = World(mapping=SHARING, filtering=filtering, ports=PortRange(61000, 61000))
    world.udp(IN1, 5000, OUT1, 53)
    world.udp(OUT1, 54, E1, 61000).is_dropped(Reason.FILTERED)
    world.udp(OFF, 53, E1, 61000).is_dropped(Reason.FILTERED)
    world.udp(IN2, 5000, E1, 61000).is_dropped(Reason.FILTERED)
    answer = world.engine.explain(
        UDP, Endpoint(OFF, 53), Endpoint(E1, 61000), Side.OUTSIDE, world.now
    )
    assert "shared by flows to other remote endpoints" in answer.steps[-1]


def test_a_flow_to_a_server_never_shares_with_another_to_the_same():
    world = World(mapping=SHARING, ports=PortRange(61000, 61009))
    seen = {world.udp(IN1, 5000 + n, OUT1, 53).leaves_from(E1).port for n in range(8)}
    assert len(seen) == 8
    for _ in range(20):
        answer = world.engine.explain(
            UDP, Endpoint(IN1, 6000), Endpoint(OUT1, 53), Side.INSIDE, world.now
        )
        assert answer.verdict.startswith("would be opened by masquerade")
    for number in range(2):
        world.udp(IN2, 5000 + number, OUT1, 53).leaves_from(E1)
    world.udp(IN2, 6000, OUT1, 53).is_dropped(Reason.NO_PORTS)
    (told,) = world.events(events.LimitReached)
    assert told.reason is Reason.NO_PORTS
    answer = world.engine.explain(
        UDP, Endpoint(IN2, 6000), Endpoint(OUT1, 53), Side.INSIDE, world.now
    )
    assert answer.verdict == "would be refused: no public port is free"


@pytest.mark.row("6888-8")
def test_a_five_tuple_that_is_over_is_used_again_only_if_there_is_no_other():
    world = World(mapping=SHARING, ports=PortRange(61000, 61004))
    seen = [short_connection(world, IN1, 4000 + number, server(1)) for number in range(5)]
    assert set(seen) == set(range(61000, 61005))
    assert len(world.flows) == 5
    assert short_connection(world, IN2, 4000, server(1)) in seen
    assert len(world.flows) == 5
    world.engine.check()


def test_shared_ports_are_all_used_alike():
    """An attacker who is not on the path learns nothing (RFC 6056)."""
    world = World(mapping=SHARING, ports=PortRange(61000, 61049))
    for number in range(1000):
        world.now += 301
        world.udp(IN1, 5000 + number, *server(number))
    opened = Counter(each.public.port for each in world.events(events.FlowOpened))
    # Chi-squared with 49 degrees of freedom: more than 85.4 once in a thousand.
    assert sum((opened[port] - 20) ** 2 / 20 for port in range(61000, 61050)) < 85.4


def test_five_thousand_connections_a_second_to_sixty_four_servers():
    """For ten minutes, at one address: a hundredth of them and of the ports, two flows being open at a time."""
    world = World(mapping=SHARING, ports=PortRange(61000, 61340), limits=Limits(flows=10_000))
    hosts = [bytes((10, 0, 0, n)) for n in range(10, 30)]
    for number in range(30_000):
        if number % 50 == 0:
            world.now += 1
        port = 1024 + number // 20 % 60_000
        assert short_connection(world, hosts[number % 20], port, server(number)) is not None
        if number % 5000 == 4999:
            world.engine.check()
    assert len(world.flows) == 10_000, "the oldest gave way"
    assert not world.engine.table.mappings
    assert not world.events(events.LimitReached)


def test_what_helpers_expect_shares_no_port():
    world = World(
        mapping=SHARING,
        helpers=(FTP,),
        ports=PortRange(61000, 61001),
        data_ports=PortRange(62000, 62009),
    )
    for number in range(20):
        world.udp(IN1, 5000 + number, *server(number)).leaves_from(E1)
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT2, 21))
    talk.say(SERVER, b"220 ready\r\n")
    talk.say(CLIENT, b"PORT " + numbers(IN1, 5000) + b"\r\n")
    (expectation,) = world.engine.expectations()
    assert expectation.public.port in range(62000, 62010)
    world.tcp(OUT2, 20, *expectation.public, SYN).reaches(IN1, 5000)
    world.tcp(IN1, 5000, OUT2, 20, SYN | ACK, seq=1, ack=1).leaves_from(E1)


def test_flows_go_on_when_ports_are_no_longer_shared_and_the_other_way_round():
    world = World(public=(E1, E2), mapping=SHARING, ports=PortRange(61000, 61003))
    before = [world.udp(IN1, 5000 + n, *server(n)).one.source for n in range(6)]
    world.change(mapping=Behaviour.ENDPOINT_INDEPENDENT)
    for number, public in enumerate(before):
        world.udp(*server(number), *public).reaches(IN1, 5000 + number)
    taken = {each.port for each in before}
    for number in range(4 - len(taken)):
        assert world.udp(IN1, 7000 + number, OUT1, 53).one.source.port not in taken
    world.udp(IN1, 8000, OUT1, 53).is_dropped(Reason.NO_PORTS)
    world.change(mapping=SHARING)
    assert world.udp(IN1, 8000, OUT1, 53).one.source.port in taken


@pytest.mark.row("A-21")
def test_when_all_ports_lead_to_a_server_already_the_kernel_is_not_asked_about_them():
    world = World(mapping=SHARING, ports=PortRange(61000, 61009))
    number = 0
    while len(world.flows) < 10:
        number += 1
        world.udp(IN1, 5000 + number, OUT1, 53)
    asked = []

    def holds(_: int, __: Endpoint, local: Endpoint) -> SocketMatch:
        asked.append(local.port)
        return SocketMatch.NONE

    world.engine.set_socket_lookup(holds)
    world.udp(IN1, 4000, OUT1, 53).is_dropped(Reason.NO_PORTS)
    assert not asked
    world.udp(IN1, 4000, OUT2, 53).leaves_from(E1)
    assert asked
