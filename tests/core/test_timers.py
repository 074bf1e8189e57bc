"""Deadlines: nothing is forgotten, nothing comes up twice, idle things cost nothing."""

from __future__ import annotations

from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.timers import SOON, Bucket, Timers


class Thing:
    due: Bucket[Any] | None = None


def test_a_thing_comes_up_in_the_second_after_its_deadline_and_once():
    timers: Timers[Thing] = Timers()
    thing = Thing()
    timers.set(thing, 10.2)
    assert timers.next == 11
    assert list(timers.due(10.9)) == []
    assert list(timers.due(11)) == [thing]
    assert list(timers.due(100)) == []
    assert timers.next == inf


def test_what_cannot_wait_for_a_second_comes_up_at_the_next_fraction_of_one():
    timers: Timers[Thing] = Timers()
    soon, later = Thing(), Thing()
    timers.set(later, 10.2)
    timers.set(soon, 10.2, SOON)
    assert timers.next == 10.25
    assert list(timers.due(10.25)) == [soon]
    assert timers.next == 11
    assert list(timers.due(11)) == [later]


@given(st.floats(0, 1e6), st.sampled_from([1, SOON]))
def test_nothing_comes_up_early_or_a_unit_late(deadline: float, unit: float):
    timers: Timers[Thing] = Timers()
    timers.set(Thing(), deadline, unit)
    assert deadline <= timers.next <= deadline + unit


def test_a_new_deadline_replaces_the_old_one_whether_earlier_or_later():
    timers: Timers[Thing] = Timers()
    sooner, later = Thing(), Thing()
    for thing in (sooner, later):
        timers.set(thing, 50)
    timers.set(sooner, 20)
    timers.set(later, 80)
    assert list(timers.due(20)) == [sooner]
    assert list(timers.due(79)) == []
    assert list(timers.due(80)) == [later]


def test_a_deadline_set_twice_for_one_second_comes_up_once():
    timers: Timers[Thing] = Timers()
    thing = Thing()
    timers.set(thing, 4.5)
    timers.set(thing, 4.9)
    came = []
    for each in timers.due(5):
        came.append(each)
    assert came == [thing]


def test_what_ends_while_its_second_is_worked_on_does_not_come_up():
    timers: Timers[Thing] = Timers()
    first, second = Thing(), Thing()
    timers.set(first, 5)
    timers.set(second, 5)
    came = []
    for each in timers.due(5):
        came.append(each)
        timers.cancel(second)
    assert came == [first]


def test_what_has_left_a_second_is_not_kept_until_then():
    timers: Timers[Thing] = Timers()
    bucket = None
    for _ in range(1000):
        thing = Thing()
        timers.set(thing, 7440)
        bucket = thing.due
        timers.set(thing, 240)
        timers.cancel(thing)
    assert bucket is not None
    assert len(bucket.things) <= 1


def test_going_to_and_fro_between_two_seconds_fills_neither():
    timers: Timers[Thing] = Timers()
    thing, other = Thing(), Thing()
    timers.set(other, 10)
    timers.set(thing, 10)
    for _ in range(1000):
        timers.set(thing, 20)
        timers.set(thing, 10)
    assert other.due is not None
    assert len(other.due.things) < 10
    assert list(timers.due(20)) == [other, thing]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(0, 60), st.floats(0, 10)), min_size=1, max_size=40
    )
)
def test_every_thing_comes_up_at_its_latest_deadline_whatever_was_set_before(
    steps: list[tuple[int, float, float]],
):
    timers: Timers[Thing] = Timers()
    things = [Thing() for _ in range(6)]
    deadlines: dict[int, float] = {}
    now = 0.0
    for which, wait, pause in steps:
        timers.set(things[which], now + wait)
        deadlines[which] = now + wait
        now += pause
        for thing in timers.due(now):
            assert deadlines.pop(things.index(thing)) <= now
        assert all(deadline > int(now) for deadline in deadlines.values())
        assert timers.next == inf or timers.next > now
    assert {things.index(thing) for thing in timers.due(inf)} == set(deadlines)


def test_pending_things_are_listed_by_their_moment_and_without_those_that_left():
    timers: Timers[Thing] = Timers()
    first, second, third = Thing(), Thing(), Thing()
    timers.set(second, 20)
    timers.set(third, 20)
    timers.set(first, 10.1)
    timers.set(third, 5)
    assert list(timers.pending()) == [(5, [third]), (11, [first]), (20, [second])]
    timers.cancel(first)
    assert list(timers.pending()) == [(5, [third]), (20, [second])]
