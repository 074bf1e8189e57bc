"""Flows are decided on, constructed and entered; one that was opened elsewhere is adopted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipmasq.core.admission import Decision
from ipmasq.core.events import FlowOpened
from ipmasq.core.flow import Flow
from ipmasq.core.mapping import Mapping
from ipmasq.core.opening import FirstPacket, adopt, construct, enter, open_flow
from ipmasq.core.policy import Action, Limits, PortRange, Rule
from ipmasq.core.ports import Block
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from tests.conformance.packets import UDP
from tests.conformance.world import E1, IN1, IN2, OUT1, OUT2, World

PORTS = PortRange(61000, 61003)
INSIDE, REMOTE = Endpoint(IN1, 5000), Endpoint(OUT1, 53)
FIRST = FirstPacket(UDP, INSIDE, REMOTE, Side.INSIDE)


def lending(count: int = 2, **policy: object) -> tuple[World, Block[Mapping], Endpoint]:
    """A world, ports that it has lent, and the public endpoint of one of them."""
    world = World(ports=PORTS, **policy)
    lent = world.engine.table.mappings.lend(UDP, E1, count)
    return world, lent, Endpoint(E1, min(lent.ports))


def free(world: World) -> int:
    return len(world.engine.table.mappings.pool(UDP, E1, PORTS))


def test_deciding_and_constructing_change_nothing():
    world = World(ports=PORTS)
    manager = world.engine.manager
    decision = manager.admission.decide(*FIRST)
    assert isinstance(decision, Decision)
    mapping = manager.table.mappings.map(UDP, INSIDE, REMOTE)
    assert isinstance(mapping, Mapping)
    flow, ends = construct(manager, FIRST, decision, mapping)
    assert flow.endpoints == (INSIDE, mapping.public, REMOTE, REMOTE)
    assert world.flows == []
    assert mapping.flows == 0
    assert enter(manager, flow, ends, decision)
    world.engine.check()
    assert [opened.flow for opened in world.events(FlowOpened)] == [flow.id]


def test_a_flow_whose_five_tuple_is_taken_is_not_entered_and_leaves_no_mapping():
    world = World(ports=PORTS)
    manager = world.engine.manager
    assert isinstance(open_flow(manager, FIRST), Flow)
    decision = manager.admission.decide(*FIRST)
    assert isinstance(decision, Decision)
    mapping = manager.table.mappings.of(UDP, INSIDE, REMOTE)
    assert not enter(manager, *construct(manager, FIRST, decision, mapping), decision)
    assert len(world.flows) == 1
    world.engine.check()


def test_lent_ports_are_given_to_nobody_else():
    world, lent, _ = lending()
    publics = {world.udp(IN1, port, OUT1, 53).leaves_from(E1).port for port in range(5000, 5002)}
    assert publics == {*range(61000, 61004)} - lent.ports
    world.udp(IN1, 5002, OUT1, 53).is_dropped(Reason.NO_PORTS)
    lent.end()
    assert world.udp(IN1, 5002, OUT1, 53).leaves_from(E1).port not in publics


def test_an_adopted_flow_goes_on_with_the_port_that_it_had():
    world, lent, public = lending()
    flow = adopt(world.engine.manager, FIRST, public, lent)
    assert isinstance(flow, Flow)
    world.engine.check()
    assert world.udp(*REMOTE, *public).reaches(*INSIDE)
    assert world.udp(*INSIDE, *REMOTE).leaves_from(E1) == public
    assert [opened.public for opened in world.events(FlowOpened)] == [public]
    assert public.port not in lent.ports


def test_a_second_flow_of_the_same_inside_endpoint_shares_the_adopted_mapping():
    world, lent, public = lending()
    assert isinstance(adopt(world.engine.manager, FIRST, public, lent), Flow)
    other = FIRST._replace(destination=Endpoint(OUT2, 53))
    assert isinstance(adopt(world.engine.manager, other, public, lent), Flow)
    assert [mapping.flows for mapping in world.engine.table.mappings] == [2]
    world.engine.check()


def test_the_port_of_an_adopted_flow_that_ends_is_free_for_all():
    world, lent, public = lending()
    flow = adopt(world.engine.manager, FIRST, public, lent)
    assert isinstance(flow, Flow)
    assert free(world) == 2
    assert world.engine.close(flow.id, world.now)
    assert free(world) == 3
    lent.end()
    assert free(world) == 4
    world.engine.check()


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"rules": (Rule(Action.DROP),)}, Reason.RULE_DROP),
        ({"limits": replace(Limits(), flows_per_host=0)}, Reason.HOST_LIMIT),
        ({"limits": replace(Limits(), ports_per_host=0)}, Reason.NO_PORTS),
        ({"rules": (Rule(Action.PASS),)}, Reason.PASSED),
    ],
)
def test_what_the_policy_does_not_allow_is_not_adopted_and_the_port_stays_lent(
    policy: dict[str, object], reason: Reason
):
    world, lent, public = lending(**policy)
    before = set(lent.ports)
    assert adopt(world.engine.manager, FIRST, public, lent) is reason
    assert lent.ports == before
    assert world.flows == []


def test_a_port_that_is_not_lent_cannot_be_adopted():
    world, lent, _ = lending()
    foreign = next(port for port in range(61000, 61004) if port not in lent.ports)
    assert adopt(world.engine.manager, FIRST, Endpoint(E1, foreign), lent) is Reason.NO_PORTS


def test_a_port_that_one_host_has_adopted_is_not_adopted_for_another():
    world, lent, public = lending()
    assert isinstance(adopt(world.engine.manager, FIRST, public, lent), Flow)
    other = FIRST._replace(source=Endpoint(IN2, 5000))
    assert adopt(world.engine.manager, other, public, lent) is Reason.NO_PORTS
    world.engine.check()
