"""Deadlines, derived: things are looked at again when they could be due, and cost nothing in between.

Each thing stands in one bucket, which comes up at a whole second, or at a fraction of one for what cannot wait
so long. When the bucket comes up, its owner recomputes the deadline from the facts and puts the thing back if
it has lived on; a packet never touches a timer.

What leaves a bucket before its second is only forgotten there; once most of a bucket has left, it is
cleared of them. So a connection that has ended does not stay in memory for the two hours that it might
have lasted.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import ceil, inf
from typing import Any, Generic, Protocol, TypeVar


class Timed(Protocol):
    due: Bucket[Any] | None
    """Where the thing stands; an entry in any other bucket is stale. None: nowhere."""


T = TypeVar("T", bound=Timed)

SOON = 1 / 16
"""Seconds between the buckets for what a connection waits for. A power of two: multiples of it are exact."""


class Bucket(Generic[T]):
    """What is to be looked at at one moment."""

    __slots__ = ("left", "things")

    def __init__(self) -> None:
        self.things: list[T] = []
        self.left = 0
        """How many of the entries are stale."""

    def clear_out(self) -> None:
        """Without stale entries; and once only what has left and come again."""
        self.things = list(dict.fromkeys(thing for thing in self.things if thing.due is self))
        self.left = 0


class Timers(Generic[T]):
    def __init__(self) -> None:
        self._buckets: dict[float, Bucket[T]] = {}
        self._order: list[float] = []
        self.next: float = inf
        """When something could be due, on the engine's clock; infinite if nothing ever will."""

    def set(self, thing: T, deadline: float, unit: float = 1) -> None:
        """Look at `thing` at `deadline` (seconds), or up to `unit` later: 1 or SOON. Replaces what was set for
        it before."""
        moment = ceil(deadline / unit) * unit
        bucket = self._buckets.get(moment)
        if bucket is None:
            bucket = self._buckets[moment] = Bucket()
            heappush(self._order, moment)
            self.next = self._order[0]
        elif thing.due is bucket:
            return
        self.cancel(thing)
        thing.due = bucket
        bucket.things.append(thing)

    def cancel(self, thing: T) -> None:
        """It need not be looked at."""
        bucket, thing.due = thing.due, None
        if bucket is not None:
            bucket.left += 1
            if bucket.left * 2 > len(bucket.things):
                bucket.clear_out()

    def due(self, now: float) -> Iterator[T]:
        """Take out everything that is due."""
        while self._order and self._order[0] <= now:
            moment = heappop(self._order)
            self.next = self._order[0] if self._order else inf
            bucket = self._buckets.pop(moment)
            # One by one: what is due may end what stands behind it, or stand here twice.
            for thing in bucket.things:
                if thing.due is bucket:
                    thing.due = None
                    yield thing
