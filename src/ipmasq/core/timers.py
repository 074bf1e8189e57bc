"""Derived deadlines: a thing is examined again when it could be due, and costs nothing in between.

Each thing is in one bucket, which is due at a whole second, or at a fraction of one for urgent things. When a
bucket is due, its owner recomputes the deadline from the facts and puts the thing back if it is not due yet;
a packet never touches a timer.

A thing that leaves its bucket early only becomes stale there; when most entries of a bucket are stale, they
are removed. So a connection that has ended does not stay in memory for the two hours that it might have
lasted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from math import ceil, inf
from typing import Any, Generic, Protocol, TypeVar


class Timed(Protocol):
    due: Bucket[Any] | None
    """The bucket of the thing; its entries in other buckets are stale. None means that it has none."""


T = TypeVar("T", bound=Timed)

SOON = 1 / 16
"""Seconds between the buckets for urgent things. It is a power of two, so that multiples of it are exact."""


class Bucket(Generic[T]):
    """Things to be examined at the same moment."""

    __slots__ = ("left", "moment", "things")

    def __init__(self, moment: float = inf) -> None:
        self.moment = moment
        self.things: list[T] = []
        self.left = 0
        """The number of stale entries."""

    def clear_out(self) -> None:
        """Remove stale entries, and duplicates of things that left and came back."""
        self.things = list(dict.fromkeys(thing for thing in self.things if thing.due is self))
        self.left = 0


class Timers(Generic[T]):
    def __init__(self, order: Callable[[T], Any] | None = None) -> None:
        """`order`: the key by which things that are due at the same moment are sorted, so that their order does
        not depend on what happened to them before; by default that in which they were set."""
        self._order_of = order
        self._buckets: dict[float, Bucket[T]] = {}
        self._order: list[float] = []
        self.next: float = inf
        """When the next bucket is due, on the engine's clock; infinite if there is none."""

    def set(self, thing: T, deadline: float, unit: float = 1) -> None:
        """Examine `thing` at `deadline` (seconds), or up to `unit` later: 1 or SOON. This replaces its
        earlier deadline."""
        moment = ceil(deadline / unit) * unit
        bucket = self._buckets.get(moment)
        if bucket is None:
            bucket = self._buckets[moment] = Bucket(moment)
            heappush(self._order, moment)
            self.next = self._order[0]
        elif thing.due is bucket:
            return
        self.cancel(thing)
        thing.due = bucket
        bucket.things.append(thing)

    def cancel(self, thing: T) -> None:
        """Do not examine the thing again."""
        bucket, thing.due = thing.due, None
        if bucket is not None:
            bucket.left += 1
            if bucket.left * 2 > len(bucket.things):
                bucket.clear_out()

    def pending(self) -> Iterator[tuple[float, list[T]]]:
        """Yield the moments of all buckets, and what is to be examined then, in order."""
        for moment, bucket in sorted(self._buckets.items()):
            bucket.clear_out()
            if bucket.things:
                yield moment, bucket.things

    def due(self, now: float) -> Iterator[T]:
        """Take out everything that is due."""
        while self._order and self._order[0] <= now:
            moment = heappop(self._order)
            self.next = self._order[0] if self._order else inf
            bucket = self._buckets.pop(moment)
            # One by one, since a thing that is due may end later ones, or be in this bucket twice.
            if self._order_of is not None:
                bucket.things.sort(key=self._order_of)
            for thing in list(bucket.things):
                if thing.due is bucket:
                    thing.due = None
                    yield thing
