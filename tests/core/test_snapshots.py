"""What the engine shows of its flows and mappings."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from ipmasq.core.ends import Endpoints
from ipmasq.core.engine import Engine
from ipmasq.core.events import FlowOpened
from ipmasq.core.policy import Behaviour, Forward, PortRange
from ipmasq.core.restoring import compacted
from ipmasq.core.side import Side
from ipmasq.core.snapshots import mappings_in_steps
from ipmasq.core.views import NO_SHIFT
from ipmasq.wire.addresses import Endpoint
from tests.conformance.packets import ACK, SYN, TCP, UDP
from tests.conformance.world import E1, IN1, IN2, OUT1, World
from tests.core.restored import kept

WEB = Forward("web", UDP, None, PortRange(8080, 8080), IN2, 80)


def test_a_flow_is_shown_with_the_same_roles_whoever_opened_it():
    world = World(forwards=(WEB,))
    public = world.udp(IN1, 5000, OUT1, 53).leaves_from(E1)
    world.udp(OUT1, 53, *public)
    mine = world.flow
    assert (mine.opened_by, mine.inside, mine.public, mine.remote) == (
        Side.INSIDE,
        Endpoint(IN1, 5000),
        public,
        Endpoint(OUT1, 53),
    )
    assert (mine.packets_out, mine.packets_in) == (1, 1)
    world.udp(OUT1, 9, E1, 8080)
    (theirs,) = (flow for flow in world.flows if flow.id != mine.id)
    assert (theirs.opened_by, theirs.inside, theirs.public, theirs.remote) == (
        Side.OUTSIDE,
        Endpoint(IN2, 80),
        Endpoint(E1, 8080),
        Endpoint(OUT1, 9),
    )
    assert (theirs.packets_out, theirs.packets_in) == (0, 1)
    assert all(flow.remote_real == flow.remote for flow in world.flows)


def test_a_hairpin_flow_shows_all_four_endpoints():
    world = World(forwards=(WEB,))
    public = world.udp(IN1, 5000, E1, 8080).reaches(IN2, 80).source
    flow = world.flow
    assert (flow.inside, flow.public) == (Endpoint(IN1, 5000), public)
    assert (flow.remote, flow.remote_real) == (Endpoint(E1, 8080), Endpoint(IN2, 80))
    (opened,) = world.events(FlowOpened)
    assert all(getattr(opened, end) == getattr(flow, end) for end in Endpoints._fields)


def test_times_are_on_the_engines_clock_and_say_when_a_flow_ends():
    world = World()
    opened = world.now
    world.udp(IN1, 5000, OUT1, 53)
    world.later(10)
    world.udp(IN1, 5000, OUT1, 53)
    flow = world.flow
    assert (flow.opened, flow.last_seen) == (opened, opened + 10)
    assert flow.expires == flow.last_seen + world.engine.policy.timeouts.udp


def test_a_flow_without_rewrites_has_no_shift_and_no_helper():
    world = World()
    world.tcp(IN1, 5000, OUT1, 80, SYN, seq=7)
    flow = world.flow
    assert (flow.shift_out, flow.shift_in, flow.helper, flow.master) == (
        NO_SHIFT,
        NO_SHIFT,
        None,
        None,
    )
    assert flow.state == "SYN_SENT"


def test_of_a_shared_port_each_flow_has_a_mapping_to_look_at():
    world = World(
        ports=PortRange(61000, 61001),  # of which the last is kept for helpers
        data_ports=PortRange(61001, 61001),
        mapping=Behaviour.ADDRESS_AND_PORT_DEPENDENT,
    )
    for port in (5000, 5001):
        syn = world.tcp(IN1, port, OUT1, port, SYN, seq=1).one
        world.tcp(OUT1, port, *syn.source, SYN | ACK, seq=1, ack=2)
    shown = list(world.engine.mappings())
    assert {view.inside for view in shown} == {Endpoint(IN1, 5000), Endpoint(IN1, 5001)}
    assert {(view.protocol, view.flows) for view in shown} == {(TCP, 1)}


def test_looking_for_shared_ports_is_a_step_for_each_flow():
    world = World(
        ports=PortRange(61000, 61001),
        data_ports=PortRange(61001, 61001),
        mapping=Behaviour.ADDRESS_AND_PORT_DEPENDENT,
    )
    world.tcp(IN1, 5000, OUT1, 80, SYN, seq=1)
    for port in range(100):
        world.tcp(OUT1, 1000 + port, E1, 80, SYN, seq=1)
    steps = list(mappings_in_steps(world.engine.manager))
    assert len([view for view in steps if view is not None]) == 1
    assert len(steps) > world.engine.table.count


def test_no_step_restores_more_than_one_mapping_of_a_state():
    before = World()
    for port in range(5000, 5100):
        before.udp(IN1, port, OUT1, 53)
    others, compact = compacted(kept(before.engine, before.now))
    engine = Engine.from_records(
        before.engine.policy, Random(1).randrange, others, before.now, compact=compact
    )
    table = engine.table
    assert not table.flows
    restored, views = [0], []
    for view in mappings_in_steps(engine.manager):
        restored.append(len(table.flows))
        views.append(view)
    assert max(after - earlier for earlier, after in pairwise(restored)) == 1
    assert {view.inside.port for view in views if view is not None} == set(range(5000, 5100))
