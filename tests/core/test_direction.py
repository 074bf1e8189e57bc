"""When the gateway sends of one direction by itself."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from ipmasq.core.direction import HOLD, MOST_REPEATS, REPEAT_AFTER, Delivery, Direction
from ipmasq.core.framing import Lines, MessageReader
from ipmasq.core.speaker import Speaker
from ipmasq.core.stream import Stream


def test_nothing_that_is_withheld_or_acknowledged_early_has_no_deadline():
    assert Delivery().deadline(HOLD) == inf


def test_what_is_withheld_is_due_when_it_has_not_grown_for_a_while():
    delivery = Delivery()
    delivery.since = 10.0
    assert delivery.deadline(HOLD) == 10.0 + HOLD


def test_what_was_acknowledged_early_is_repeated_ever_more_seldom_and_then_given_up():
    delivery, now, times = Delivery(), 100.0, []
    delivery.leaves(now)
    while (due := delivery.deadline(HOLD)) < inf:
        times.append(due - now)
        now = due
        delivery.repeats_now(now)
    assert times == pytest.approx([REPEAT_AFTER * 2**n for n in range(MOST_REPEATS)])
    delivery.leaves(now)
    assert delivery.deadline(HOLD) == now + REPEAT_AFTER, "other bytes begin anew"


def test_what_no_helper_looks_at_any_more_is_due_at_once():
    delivery = Delivery()
    delivery.since, delivery.left_at = 10.0, 7
    assert delivery.deadline(HOLD) == -inf


def test_a_direction_of_which_nothing_was_seen_has_nothing_to_forward_withheld():
    direction = Direction(Speaker.SERVER)
    direction.forward_withheld()
    assert direction.stream is None
    assert direction.delivery.deadline(HOLD) == inf


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


def test_what_is_forwarded_is_decided_and_can_be_changed_no_longer():
    me = Direction(Speaker.CLIENT)
    me.forward_withheld()  # nothing was said yet
    me.stream, me.reader = Stream(0, 100), MessageReader(Lines(b"\n", 100))
    me.reader.feed(me.stream.arrive(0, b"PORT"))
    assert me.reader.next() is None
    me.forward_withheld()
    assert (me.stream.ready, me.stream.withholds) == (4, False)
    me.reader.feed(b" 1\n")
    message = me.reader.next()
    assert message is not None
    assert message.passed == 4
