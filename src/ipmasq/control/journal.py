"""The latest events, for clients that watch: one bounded ring buffer, and a position in it for each reader.

A reader that is too slow loses the oldest events and learns how many; adding an event costs the same however
many readers there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from ipmasq.core.events import Event

KEPT = 8192
"""The number of events that are kept: about 2 MB, and 35 MB if all are about the longest lines."""


class Journal:
    def __init__(self, kept: int = KEPT) -> None:
        self._events: deque[Event] = deque(maxlen=kept)
        self.end = 0
        """The number of events so far."""

    @property
    def start(self) -> int:
        """The number of the oldest event that is kept."""
        return self.end - len(self._events)

    def tell(self, events: Sequence[Event]) -> None:
        self._events.extend(events)
        self.end += len(events)

    def kept(self) -> Sequence[Event]:
        """Return a copy of the events that are kept, the oldest first."""
        return tuple(self._events)

    def after(self, number: int, most: int) -> Iterable[Event]:
        """Return up to `most` events from `number` on, which must not be before `start`."""
        first = number - self.start
        return islice(self._events, first, first + most)


class Reader:
    """A reader's position in the journal."""

    def __init__(self, journal: Journal) -> None:
        """Begin with the next event."""
        self._journal = journal
        self._next = journal.end

    def take(self, most: int) -> tuple[int, list[Event]]:
        """Return how many events were lost since the last call, and the next ones."""
        lost = max(0, self._journal.start - self._next)
        self._next += lost
        found = list(self._journal.after(self._next, most))
        self._next += len(found)
        return lost, found
