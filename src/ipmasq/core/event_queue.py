"""What has happened and no listener has come for yet."""

from __future__ import annotations

from math import inf

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.side import Side

MOST_EVENTS = 1 << 17
"""Events kept for a listener that does not come; the oldest half is lost beyond that, and counted."""

FAILED_BYTES = 128
"""Bytes of a packet that could not be handled that an event shows."""

BETWEEN_FAILURES = 1.0
"""Seconds between two events about such packets."""


class EventQueue:
    def __init__(self) -> None:
        self.lost = 0
        """Events that no listener came for in time."""
        self._events: list[Event] = []
        self._failures = 0
        self._failures_told = -inf

    def add(self, event: Event) -> None:
        self._events.append(event)
        if len(self._events) > MOST_EVENTS:
            self.lost += MOST_EVENTS // 2
            del self._events[: MOST_EVENTS // 2]

    def add_failure(self, now: float, side: Side, data: bytes, error: Exception) -> None:
        """Handling a packet raised. `data`: its first bytes. Failures that come faster than events about them
        may are counted by the next one."""
        self._failures += 1
        if now < self._failures_told + BETWEEN_FAILURES:
            return
        self._failures_told = now
        failures, self._failures = self._failures, 0
        self.add(events.PacketFailed(now, side, data, in_one_line(error), failures))

    def drain(self) -> list[Event]:
        """What has happened since the last call."""
        happened, self._events = self._events, []
        return happened


def in_one_line(error: Exception) -> str:
    """What was raised, and in which line of which file."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return text
    file = step.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f"{text} ({file}:{step.tb_lineno})"
