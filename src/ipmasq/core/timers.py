"""Deadlines, derived: things are looked at again when they could be due, and cost nothing in between.

Each thing stands in one bucket, a whole second. When the bucket comes up, its owner recomputes the
deadline from the facts and puts the thing back if it has lived on; a packet never touches a timer.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import ceil, inf
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    due: int
    """The bucket in which the thing stands; an entry in any other bucket is stale."""


T = TypeVar("T", bound=Timed)


class Timers(Generic[T]):
    def __init__(self) -> None:
        self._buckets: dict[int, list[T]] = {}
        self._order: list[int] = []
        self.next: float = inf
        """When something could be due, on the engine's clock; infinite if nothing ever will."""

    def set(self, thing: T, deadline: float) -> None:
        """Look at `thing` at `deadline` (seconds); replaces what was set for it before."""
        second = ceil(deadline)
        thing.due = second
        bucket = self._buckets.get(second)
        if bucket is None:
            self._buckets[second] = [thing]
            heappush(self._order, second)
            self.next = self._order[0]
        else:
            bucket.append(thing)

    def due(self, now: float) -> Iterator[T]:
        """Take out everything that is due."""
        while self._order and self._order[0] <= now:
            second = heappop(self._order)
            self.next = self._order[0] if self._order else inf
            # One by one: what is due may end what stands behind it, or stand here twice.
            for thing in self._buckets.pop(second):
                if thing.due == second:
                    yield thing
