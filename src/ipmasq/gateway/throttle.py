"""Limits the lines of one kind: the first few are written, and then one that says how many more there were."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

MOST = 5
"""The most lines of one kind that are written within a window."""

WINDOW = 60.0
"""The length of a window in seconds."""

ROOM = 256
"""The most kinds that are distinguished: at most 1,536 lines in a window in all."""


class _Others:
    """The kind of everything for which there is no room."""


@dataclass(slots=True)
class _Window:
    ends: float
    example: str
    seen: int = 1


class Sum(NamedTuple):
    """A window has ended in which lines were left out."""

    kind: Hashable
    """None for the kinds for which there was no room."""
    example: str
    """The first line of the window."""
    left_out: int


class Throttle:
    """Counts lines by kind. A window begins with the first line of a kind. `now` is in seconds and never
    decreases."""

    def __init__(self, most: int = MOST, window: float = WINDOW, room: int = ROOM) -> None:
        self._most, self._length, self._room = most, window, room
        self._windows: dict[Hashable, _Window] = {}
        """Windows in the order in which they end."""
        self.left_out = 0
        """Lines that were not written, since the start."""

    def admits(self, kind: Hashable, example: str, now: float) -> bool:
        """Return whether this line is to be written. Windows that have ended must have been `closed` before."""
        window = self._windows.get(kind)
        if window is None and len(self._windows) >= self._room:
            kind = _Others
            window = self._windows.get(kind)
        if window is None:
            self._windows[kind] = _Window(now + self._length, example[:200])
            return True
        window.seen += 1
        if window.seen <= self._most:
            return True
        self.left_out += 1
        return False

    def closed(self, now: float) -> Iterator[Sum]:
        """Yield the windows that have ended by now, if lines were left out in them."""
        while self._windows:
            kind, window = next(iter(self._windows.items()))
            if window.ends > now:
                return
            del self._windows[kind]
            if window.seen > self._most:
                known = None if kind is _Others else kind
                yield Sum(known, window.example, window.seen - self._most)
