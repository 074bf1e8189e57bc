"""A store in a thread: nothing blocks, whoever waits is told, and an error is told once it is known."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from ipmasq.continuity.durable import MOST_TASKS, Background
from ipmasq.continuity.sqlite import SqliteStore
from ipmasq.continuity.store import StoreError


class Slow(SqliteStore):
    """A disk that answers when it is told to."""

    may_go_on = Event()
    fails = False

    def append(self, batch: bytes, kept: Callable[[], object] | None = None) -> None:
        self.may_go_on.wait(10)
        if self.fails:
            raise StoreError("the disk is gone")
        super().append(batch, kept)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    store = Slow(tmp_path / "state.db", {}, durable=True)
    store.may_go_on.clear()
    yield store
    store.may_go_on.set()


def reported(store: Background) -> None:
    assert select.select([store.descriptor], [], [], 10)[0]
    store.report()


def test_whoever_waits_is_told_when_it_is_on_the_disk(slow: Slow) -> None:
    store, told = Background(slow), list[int]()
    for number in range(3):
        store.append(b"x", lambda number=number: told.append(number))  # type: ignore[misc]
    store.report()
    assert told == []
    slow.may_go_on.set()
    while len(told) < 3:
        reported(store)
    assert told == [0, 1, 2]
    store.close()


def test_everything_is_written_before_it_is_closed(slow: Slow) -> None:
    store, told = Background(slow), list[int]()
    for number in range(5):
        store.append(b"x", lambda number=number: told.append(number))  # type: ignore[misc]
    slow.may_go_on.set()
    store.close()
    assert len(told) == 5
    again = SqliteStore(slow.path, {})
    assert len(list(again.load())) == 5
    again.close()


def test_an_error_is_told_and_whoever_waits_does_not_wait_for_ever(slow: Slow) -> None:
    store, told = Background(slow), list[int]()
    slow.fails = True
    store.append(b"x", lambda: told.append(1))
    slow.may_go_on.set()
    with pytest.raises(StoreError, match="the disk is gone"):
        reported(store)
    assert told == [1]
    with pytest.raises(StoreError):
        store.append(b"y")
    store.close()


def test_a_disk_that_does_not_keep_up_is_an_error(slow: Slow) -> None:
    store = Background(slow)
    for _ in range(MOST_TASKS):
        store.append(b"x")
    with pytest.raises(StoreError, match="does not keep up"):
        fill(store)
    slow.may_go_on.set()
    store.close()


def test_nobody_waits_for_a_disk_that_was_given_up(slow: Slow) -> None:
    store, told = Background(slow), list[int]()
    for _ in range(MOST_TASKS):
        store.append(b"x", lambda: told.append(1))
    with pytest.raises(StoreError, match="does not keep up"):
        fill(store)
    store.close()
    slow.may_go_on.set()
    store._thread.join(10)
    assert not store._thread.is_alive()
    again = SqliteStore(slow.path, {})
    assert len(list(again.load())) <= 1, "what waited was dropped"
    again.close()


def fill(store: Background) -> None:
    for _ in range(2):
        store.append(b"x")
