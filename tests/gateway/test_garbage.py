"""Cycles of references are freed after what made them, whatever the collector's thresholds are."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from ipmasq.gateway import garbage


class Node:
    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def by_itself_never() -> Iterator[None]:
    """So that a collection that happens to begin does not show what is to be shown."""
    gc.disable()
    yield
    gc.enable()


def test_a_cycle_lives_on_until_somebody_looks_for_it() -> None:
    made = weakref.ref(Node())
    assert made() is not None


def test_cycles_that_are_made_meanwhile_are_freed_afterwards() -> None:
    with garbage.collect_new():
        made = weakref.ref(Node())
        assert made() is not None
    assert made() is None


def test_cycles_are_freed_when_something_is_raised_too() -> None:
    made: list[weakref.ref[Node]] = []

    @garbage.collect_new()
    def fail() -> None:
        made.append(weakref.ref(Node()))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert made[0]() is None


def test_what_is_young_and_garbage_already_is_freed_as_well() -> None:
    made = weakref.ref(Node())
    with garbage.collect_new():
        pass
    assert made() is None


def test_nothing_is_hidden_from_the_collector_afterwards() -> None:
    with garbage.collect_new():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_old_objects_that_became_garbage_are_freed_after_what_replaces_them() -> None:
    old = [Node()]
    made = weakref.ref(old[0])
    gc.collect()  # now it is old
    with garbage.collect_all():
        old.clear()
    assert made() is None


def test_objects_that_stay_are_not_looked_at_again() -> None:
    made = Node()
    seen = weakref.ref(made)
    garbage.keep_new()
    del made
    gc.collect(1)
    assert seen() is not None
    gc.collect()
    assert seen() is None
