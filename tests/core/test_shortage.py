"""Who runs short is told of, before and when it happens, and never in a flood."""

from __future__ import annotations

import pytest

from ipmasq.core import events
from ipmasq.core.counts import marks
from ipmasq.core.policy import Forward, Limits, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.shortage import ROOM, WINDOW, Use, near_limits
from ipmasq.core.side import Side
from ipmasq.gateway.describe import sentence
from ipmasq.wire.addresses import Endpoint
from tests.conformance.conversation import CLIENT, Conversation
from tests.conformance.packets import SYN, TCP, UDP
from tests.conformance.world import E1, IN1, IN2, OUT1, OUT2, World
from tests.core.announcer import here, use

HUNDRED = PortRange(61000, 61099)


def said(world: World) -> list[str]:
    """What was told of shortages since the last call."""
    told = [sentence(each) for each in world.events(events.LimitNeared, events.LimitReached)]
    world.happened = []
    return told


def test_a_public_address_is_told_of_before_its_ports_are_all_in_use():
    world = World(ports=HUNDRED)
    for number in range(79):
        world.udp(IN1 if number % 2 else IN2, 1024 + number, OUT1, 53)
    assert said(world) == []
    world.udp(IN1, 5000, OUT1, 53)
    assert said(world) == ["80 of 100 UDP ports of 203.0.113.1 are in use"]
    for number in range(15):
        world.udp(IN1, 6000 + number, OUT1, 53)
    assert said(world) == ["95 of 100 UDP ports of 203.0.113.1 are in use"]
    world.tcp(IN1, 5000, OUT1, 53, SYN)
    assert said(world) == []


def test_a_host_is_told_of_before_it_has_all_that_it_may_have():
    limits = Limits(flows=1000, flows_per_host=100, ports_per_host=20)
    world = World(ports=HUNDRED, limits=limits)
    for number in range(16):
        world.udp(IN1, 1024 + number, OUT1, 53)
    assert said(world) == ["host 10.0.0.2 uses 16 of 20 UDP ports"]
    for number in range(64):
        world.udp(IN1, 1024 + number % 16, OUT2, 100 + number)
    assert said(world) == ["host 10.0.0.2 uses 80 of 100 flows"]


def test_hosts_that_are_near_a_limit_are_listed_while_they_are():
    world = World(ports=HUNDRED, limits=Limits(flows=1000, flows_per_host=100, ports_per_host=20))
    for number in range(15):
        world.udp(IN1, 1024 + number, OUT1, 53)
        world.tcp(IN2, 1024 + number, OUT1, 53, SYN)
    assert list(near_limits(world.engine.table)) == []
    world.udp(IN1, 2000, OUT1, 53)
    assert list(near_limits(world.engine.table)) == [Use("ports_per_host", IN1, 17, 16, 20)]
    for number in range(65):
        world.tcp(IN2, 1024, OUT2, 100 + number, SYN)
    assert list(near_limits(world.engine.table)) == [
        Use("flows_per_host", IN2, 0, 80, 100),
        Use("ports_per_host", IN1, 17, 16, 20),
    ]
    world.engine.close(world.flows[0].id, world.now)
    assert [each.host for each in near_limits(world.engine.table)] == [IN2]


def test_of_a_few_ports_only_all_are_many():
    world = World(ports=HUNDRED, limits=Limits(ports_per_host=5))
    for number in range(4):
        world.udp(IN1, 1024 + number, OUT1, 53)
    assert list(near_limits(world.engine.table)) == []
    world.udp(IN1, 2000, OUT1, 53)
    assert list(near_limits(world.engine.table)) == [Use("ports_per_host", IN1, 17, 5, 5)]


def test_the_table_is_told_of_before_it_is_full():
    world = World(ports=HUNDRED, limits=Limits(flows=50, ports_per_host=100))
    for number in range(40):
        world.udp(IN1, 1024 + number, OUT1, 53)
    assert said(world) == ["40 of 50 flows are in use"]


def test_expected_ports_are_ports_of_their_host():
    world = World(
        helpers=(use(expectations_per_flow=64),), limits=Limits(ports_per_host=20), ports=HUNDRED
    )
    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    for number in range(15):
        talk.say(CLIENT, here(Endpoint(IN1, 5000 + number)))
    assert said(world) == ["host 10.0.0.2 uses 16 of 20 TCP ports"]


@pytest.mark.parametrize(
    ("changes", "reason", "sentence"),
    [
        ({"ports": PortRange(61000, 61002)}, Reason.NO_PORTS, "no public port is free"),
        (
            {"limits": Limits(ports_per_host=3)},
            Reason.PORT_LIMIT,
            "host 10.0.0.2 has reached its limit of 3 UDP ports",
        ),
        (
            {"limits": Limits(flows_per_host=3)},
            Reason.HOST_LIMIT,
            "host 10.0.0.2 has reached its limit of 3 flows",
        ),
        ({"limits": Limits(flows=3)}, Reason.TABLE_FULL, "the flow table is full (3)"),
    ],
)
def test_a_refusal_is_told_at_once_then_once_a_minute_and_explained(
    changes: dict[str, object], reason: Reason, sentence: str
):
    world = World(**changes)

    def explained() -> str:
        ends = Endpoint(IN1, 2000), Endpoint(OUT1, 53)
        return world.engine.explain(UDP, *ends, Side.INSIDE, world.now).verdict

    for number in range(3):
        assert explained().startswith("would be opened")
        world.udp(IN1, 1024 + number, OUT1, 53)
    assert said(world) == []
    assert explained() == f"would be refused: {sentence}"
    for number in range(100):
        world.udp(IN1, 2000 + number, OUT1, 53).is_dropped(reason)
    assert said(world) == [f"a new flow of 10.0.0.2 refused: {sentence}"]
    world.later(WINDOW)
    world.udp(IN1, 3000, OUT1, 53).is_dropped(reason)
    assert said(world) == [f"100 new flows of 10.0.0.2 refused: {sentence}"]
    world.later(400)
    assert explained().startswith("would be opened")


def test_each_host_is_told_of_by_itself():
    world = World(ports=PortRange(61000, 61000))
    world.udp(IN1, 1024, OUT1, 53)
    for host in (IN1, IN2, IN1, IN2):
        world.udp(host, 1025, OUT1, 53).is_dropped(Reason.NO_PORTS)
    assert [line.split()[4] for line in said(world)] == ["10.0.0.2", "10.0.0.3"]


def test_very_many_hosts_are_not_very_many_events():
    world = World()
    refused = world.engine.manager.shortage.refused
    for number in range(3 * ROOM):
        refused(Reason.NO_PORTS, bytes((10, 9, *divmod(number, 256))), TCP, world.now)
    assert len(said(world)) == ROOM + 1


def test_what_would_give_way_to_a_stranger_is_not_called_a_shortage():
    web = Forward("web", TCP, None, PortRange(80, 80), IN1, 80)
    world = World(forwards=(web,), limits=Limits(flows_per_host=2))
    for port in (5000, 5001):
        world.tcp(OUT1, port, E1, 80, SYN)
    ends = Endpoint(OUT1, 5002), Endpoint(E1, 80)
    answer = world.engine.explain(TCP, *ends, Side.OUTSIDE, world.now)
    assert answer.verdict.startswith("would be opened by forward web")
    world.tcp(OUT1, 5002, E1, 80, SYN).reaches(IN1, 80)
    assert said(world) == []


@pytest.mark.parametrize(("most", "at"), [(19, ()), (20, (16, 19)), (1000, (800, 950))])
def test_warnings_come_at_four_fifths_and_nineteen_twentieths(most: int, at: tuple[int, ...]):
    assert marks(most) == set(at)


def test_however_many_hosts_are_refused_something_it_is_told_what_all_have_together():
    world = World(ports=HUNDRED)
    shortage = world.engine.manager.shortage
    for number in range(2 * ROOM):
        host = bytes((10, 0, 1 + number // 256, number % 256))
        shortage.refused(Reason.HOST_LIMIT, host, UDP, world.now)
    said(world)
    for number in range(80):
        world.udp(IN1, 1024 + number, OUT1, 53)
    assert "80 of 100 UDP ports of 203.0.113.1 are in use" in said(world)
