"""A flow: its two directions, what each becomes, and where its speaker is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.flow import LATE
from tests.conformance.packets import ACK, SYN
from tests.conformance.world import IN1, OUT1, World

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
