"""When the gateway sends of one direction of its own accord."""

from __future__ import annotations

from math import inf

import pytest

from ipmasq.core.direction import HOLD, MOST_REPEATS, REPEAT_AFTER, Delivery, Direction
from ipmasq.core.helper import Speaker


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


def test_a_direction_of_which_nothing_was_seen_has_nothing_to_let_go():
    direction = Direction(Speaker.SERVER)
    direction.forward_withheld()
    assert direction.stream is None
    assert direction.delivery.deadline(HOLD) == inf
