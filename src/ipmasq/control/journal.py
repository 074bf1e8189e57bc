"""The latest events, for whoever watches: one bounded ring, and a place in it for each reader.

A reader that is too slow loses the oldest events and learns how many; telling costs the same however
many readers there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from ipmasq.core.events import Event

KEPT = 8192
"""Events. About 2 MB at most."""


class Journal:
    def __init__(self, kept: int = KEPT) -> None:
        self._events: deque[Event] = deque(maxlen=kept)
        self.end = 0
        """How many there have ever been."""

    @property
    def start(self) -> int:
        """The number of the oldest one that is kept."""
        return self.end - len(self._events)

    def tell(self, events: Sequence[Event]) -> None:
        self._events.extend(events)
        self.end += len(events)

    def after(self, number: int, most: int) -> Iterable[Event]:
        """Up to `most` events from number `number` on, which must not be before `start`."""
        first = number - self.start
        return islice(self._events, first, first + most)


class Reader:
    """Somebody's place in the journal."""

    def __init__(self, journal: Journal, last: int = 0) -> None:
        """Begins with the `last` events that have happened already, as far as they are kept."""
        self._journal = journal
        self._next = max(journal.start, journal.end - last)

    def take(self, most: int) -> tuple[int, list[Event]]:
        """How many were lost since the last time, and the next ones."""
        lost = max(0, self._journal.start - self._next)
        self._next += lost
        found = list(self._journal.after(self._next, most))
        self._next += len(found)
        return lost, found
