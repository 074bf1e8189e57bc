"""When the gateway must send of its own accord."""

from __future__ import annotations

from itertools import pairwise
from math import inf

from ipmasq.core.direction import HOLD, MOST_REPEATS, REPEAT_AFTER, Delivery, Direction
from ipmasq.core.framing import Lines, MessageReader
from ipmasq.core.helper import Speaker
from ipmasq.core.stream import Stream


def test_a_delivery_is_idle_until_something_is_withheld_has_left_or_must_leave():
    delivery = Delivery()
    assert delivery.is_idle
    assert delivery.deadline(HOLD) == inf
    delivery.since = 5.0
    assert delivery.deadline(HOLD) == 5.0 + HOLD
    delivery.leaves(5.0)
    assert delivery.deadline(HOLD) == 5.0 + REPEAT_AFTER
    delivery.left_at = 7
    assert delivery.deadline(HOLD) == -inf
    assert not delivery.is_idle


def test_repetitions_take_twice_as_long_each_time_and_come_to_an_end():
    delivery = Delivery()
    delivery.leaves(0.0)
    waits, now = [], 0.0
    while delivery.repeat_at < inf:
        waits.append(delivery.repeat_at - now)
        now = delivery.repeat_at
        delivery.repeats_now(now)
    assert len(waits) == MOST_REPEATS
    assert all(abs(b - 2 * a) < 1e-9 for a, b in pairwise(waits))


def test_what_is_let_go_is_decided_and_can_be_changed_no_longer():
    me = Direction(Speaker.CLIENT)
    me.let_go()  # nothing was said yet
    me.stream, me.reader = Stream(0, 100), MessageReader(Lines(b"\n", 100))
    me.reader.feed(me.stream.arrive(0, b"PORT"))
    assert me.reader.next() is None
    me.let_go()
    assert (me.stream.ready, me.stream.withholds) == (4, False)
    me.reader.feed(b" 1\n")
    message = me.reader.next()
    assert message is not None
    assert message.passed == 4
