"""A flow: its two directions, what each becomes, and where its speaker is."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.ends import End, Ends
from ipmasq.core.flow import LATE, NAMES, Flow, Half
from ipmasq.core.keys import pack
from ipmasq.core.plain import Fields, StateError
from ipmasq.core.policy import Timeouts
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.tcp_states import State
from ipmasq.wire.addresses import Endpoint
from tests.conformance.packets import ACK, SYN, TCP, UDP
from tests.conformance.world import IN1, OUT1, World
from tests.core.restored import serialised

SCALED = b"\x02\x04\x05\xb4\x03\x03\x07\x00"


@given(
    first=st.integers(0, 2**32 - 1),
    steps=st.lists(st.tuples(st.integers(-LATE, LATE), st.integers(-LATE, LATE)), max_size=8),
)
def test_a_place_is_the_farthest_that_was_seen_in_any_order(first, steps):
    world = World()
    out = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=first).one
    start = (first + 1) % 2**32
    world.tcp(OUT1, 80, *out.source, SYN | ACK, seq=first, ack=start)
    world.tcp(IN1, 4000, OUT1, 80, ACK, seq=start, ack=start)
    (flow,) = world.engine.table.flows.values()
    ends, acks = [0], [0]
    for ahead, acked in steps:
        if max(ends) - ahead > LATE or max(acks) - acked > LATE:
            continue  # no window is that wide
        ends.append(ahead)
        acks.append(acked)
        sequence, acknowledgment = (start + ahead) % 2**32, (start + acked) % 2**32
        world.tcp(IN1, 4000, OUT1, 80, ACK, seq=sequence, ack=acknowledgment)
    assert flow.original.end == (start + max(ends)) % 2**32
    assert flow.original.acknowledged == (start + max(acks)) % 2**32


def test_a_forged_segment_far_ahead_holds_no_place():
    """It stands within a scaled window, so it is believed; what its speaker says next takes the place back."""
    world = World()
    out = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=100, options=SCALED).one
    world.tcp(OUT1, 80, *out.source, SYN | ACK, seq=500, ack=101, options=SCALED)
    (flow,) = world.engine.table.flows.values()
    for end, acknowledged in ((101 + 10 * LATE, 501), (101, 501 + 10 * LATE), (101, 501)):
        world.tcp(IN1, 4000, OUT1, 80, ACK, seq=end, ack=acknowledged)
        assert (flow.original.end, flow.original.acknowledged) == (end, acknowledged)


def flow_of(size: int = 4) -> Flow:
    """Addresses of `size` bytes; the client is masqueraded."""
    inside, public, remote = (Endpoint(bytes([n]) * size, 1000 * n) for n in (1, 2, 3))
    sides = Side.INSIDE, Side.OUTSIDE
    return Flow(1, UDP, Ends(End(inside, public), End(remote, remote)), sides, 5.0)


@pytest.mark.parametrize("size", [4, 16], ids=["IPv4", "IPv6"])
def test_each_direction_says_what_comes_in_and_what_leaves(size: int):
    flow = flow_of(size)
    client, server = flow.client, flow.server
    assert flow.original.match == pack(client.real, server.translated)
    assert flow.original.rewrite == pack(client.translated, server.real)
    assert flow.reply.match == pack(server.real, client.translated)
    assert flow.reply.rewrite == pack(server.translated, client.real)
    assert client.is_masqueraded
    assert not server.is_masqueraded
    assert flow.host == flow.payer == client.real.address


def test_the_directions_of_a_flow_are_each_others_twins():
    flow = flow_of()
    assert flow.original.twin is flow.reply
    assert flow.reply.twin is flow.original
    assert [flow.half(speaker).speaker for speaker in Speaker] == list(Speaker)
    assert [flow.half(speaker).side for speaker in Speaker] == list(flow.sides)
    assert [flow.end(speaker) for speaker in Speaker] == [flow.client, flow.server]


def test_positions_are_two_numbers_in_one():
    half = flow_of().original
    half.end, half.acknowledged = 0xFFFFFFFF, 7
    assert (half.end, half.acknowledged) == (0xFFFFFFFF, 7)
    half.end = 1
    assert (half.end, half.acknowledged) == (1, 7)


def test_when_a_flow_ends_follows_from_what_it_saw():
    times = Timeouts(udp=30.0, udp_ports={3000: 9.0})
    flow = flow_of()
    assert flow.deadline(times) == 5.0 + 9.0, "the server's port has a time of its own"
    flow.last_seen = 100.0
    assert flow.deadline(times) == 109.0


def test_a_connection_with_live_data_flows_has_no_end():
    inside, remote = Endpoint(IN1, 4000), Endpoint(OUT1, 21)
    ends = Ends(End(inside, inside), End(remote, remote))
    flow = Flow(1, TCP, ends, (Side.INSIDE, Side.OUTSIDE), 0.0)
    flow.state, flow.links = State.ESTABLISHED, 1
    flow.reply.end, flow.original.acknowledged = 10, 10
    assert not flow.is_opening
    assert flow.deadline(Timeouts()) == inf
    flow.links = 0
    assert flow.deadline(Timeouts()) == Timeouts().tcp_established


def test_a_flow_is_the_same_after_its_state_on_another_clock():
    world = World()
    out = world.tcp(IN1, 4000, OUT1, 80, SYN, seq=7, options=SCALED).one
    world.later(2)
    world.tcp(
        OUT1, 80, out.source.address, out.source.port, SYN | ACK, seq=9, ack=8, options=SCALED
    )
    (flow,) = world.engine.table.flows.values()
    state = serialised(flow.to_state(world.now))
    after = Flow.from_state(flow.id, Fields.named(state, NAMES, "flow"), 500.0)
    for name in ("id", "kind", "client", "server", "state", "offloadable", "origin", "master"):
        assert getattr(after, name) == getattr(flow, name)
    for one, other in ((after.original, flow.original), (after.reply, flow.reply)):
        for name in (*Half.__slots__, "match"):
            assert name == "flow" or getattr(one, name) == getattr(other, name)
    assert 500.0 - after.opened == world.now - flow.opened
    assert 500.0 - after.last_seen == world.now - flow.last_seen


def test_a_flow_with_half_a_key_is_refused():
    flow = Flow(1, UDP, Ends(End(HERE, HERE), End(THERE, THERE)), (Side.INSIDE, Side.OUTSIDE), 0.0)
    state = list(flow.to_state(0.0))
    state[NAMES.index("out")] = flow.original.rewrite[:8]
    with pytest.raises(StateError, match=r"^flow\.out: "):
        Flow.from_state(1, Fields.named(state, NAMES, "flow"), 0.0)


HERE, THERE = Endpoint(IN1, 4000), Endpoint(OUT1, 53)
