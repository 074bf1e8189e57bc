"""How many lines about the same thing are written: the first few, and then one that says how many more."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

MOST = 5
"""Lines of one kind that are written within a window."""

WINDOW = 60.0
"""Seconds."""

ROOM = 256
"""Kinds that are told apart at a time: at most 1,536 lines in a window, whatever happens."""


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
    """None: of kinds for which there was no room."""
    example: str
    """What the first line of the window said."""
    left_out: int


class Throttle:
    """A window begins with the first line of a kind. `now` is in seconds and never goes back."""

    def __init__(self, most: int = MOST, window: float = WINDOW, room: int = ROOM) -> None:
        self._most, self._length, self._room = most, window, room
        self._windows: dict[Hashable, _Window] = {}
        """In the order in which they end."""
        self.left_out = 0
        """Lines that were not written, since the beginning."""

    def admits(self, kind: Hashable, example: str, now: float) -> bool:
        """Whether this line is to be written. Windows that have ended must have been `closed` before."""
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
        """The windows that have ended by now, if lines were left out in them."""
        while self._windows:
            kind, window = next(iter(self._windows.items()))
            if window.ends > now:
                return
            del self._windows[kind]
            if window.seen > self._most:
                known = None if kind is _Others else kind
                yield Sum(known, window.example, window.seen - self._most)
