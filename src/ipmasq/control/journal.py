"""The latest events, for clients that watch: one bounded ring buffer, and a position in it for each reader.

A reader that is too slow loses the oldest events and learns how many; adding an event costs the same however
many readers there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import islice
from typing import get_args

from ipmasq.core.events import Event

KEPT = 8192
"""The most events that are kept: about 2 MB beside their text."""

KEPT_TEXT = 1 << 21
"""The most bytes and characters of text in them. Usual events have few; one with a long line has thousands."""


class Journal:
    def __init__(self, kept: int = KEPT, text: int = KEPT_TEXT) -> None:
        self._most, self._most_text = kept, text
        self._events: deque[Event] = deque()
        self._text = 0
        """The size of the text in the events that are kept."""
        self.end = 0
        """The number of events so far."""

    @property
    def start(self) -> int:
        """The number of the oldest event that is kept."""
        return self.end - len(self._events)

    def observe(self, events: Sequence[Event]) -> None:
        self._events.extend(events)
        self._text += sum(map(_text, events))
        self.end += len(events)
        while len(self._events) > self._most or self._text > self._most_text:
            self._text -= _text(self._events.popleft())

    def kept(self) -> Sequence[Event]:
        """Return a copy of the events that are kept, the oldest first."""
        return tuple(self._events)

    def after(self, number: int, most: int) -> Iterable[Event]:
        """Return up to `most` events from `number` on, which must not be before `start`."""
        first = number - self.start
        return islice(self._events, first, first + most)


_TEXTS = {
    kind: tuple(field.name for field in fields(kind) if field.type in ("bytes", "str"))
    for kind in get_args(Event)
}
"""The fields of each kind of event that have text of any length: lines, names, reasons."""


def _text(event: Event) -> int:
    """Return the size of the text in an event."""
    size = 0
    for name in _TEXTS[type(event)]:
        size += len(getattr(event, name))
    return size


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
