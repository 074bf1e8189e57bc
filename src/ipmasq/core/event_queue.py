"""Events that no listener has taken yet."""

from __future__ import annotations

from math import inf

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.side import Side
from ipmasq.wire.passwords import headers

MOST_EVENTS = 1 << 17
"""The most events that are kept. Beyond that, the oldest half is dropped and counted."""

FAILED_BYTES = 128
"""The most bytes of a failed packet that are looked at for its headers."""

LONGEST_ERROR = 500
"""The most characters of an exception that an event shows."""

BETWEEN_FAILURES = 1.0
"""The least seconds between two events about failed packets."""


class EventQueue:
    def __init__(self) -> None:
        self.lost = 0
        """Events that were dropped because no listener took them in time."""
        self._events: list[Event] = []
        self._failures = 0
        self._failures_told = -inf

    def add(self, event: Event) -> None:
        self._events.append(event)
        if len(self._events) > MOST_EVENTS:
            self.lost += MOST_EVENTS // 2
            del self._events[: MOST_EVENTS // 2]

    def add_failure(self, now: float, side: Side, data: bytes, error: Exception) -> None:
        """Report that handling a packet raised. `data` is its first bytes. Failures in quick succession are
        counted by the next event."""
        self._failures += 1
        if now < self._failures_told + BETWEEN_FAILURES:
            return
        self._failures_told = now
        failures, self._failures = self._failures, 0
        self.add(events.PacketFailed(now, side, headers(data), in_one_line(error), failures))

    def drain(self) -> list[Event]:
        """Return the events since the last call."""
        happened, self._events = self._events, []
        return happened


def said(error: Exception) -> str:
    """Return what was raised in one line. Code of others may have written the exception."""
    try:
        text = str(error)
    except Exception:
        text = "it cannot say what is wrong"
    return f"{type(error).__name__}: {text[:LONGEST_ERROR]}".splitlines()[0]


def in_one_line(error: Exception) -> str:
    """Return what was raised, and in which line of which file."""
    text = said(error)
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return text
    file = step.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f"{text} ({file}:{step.tb_lineno})"
