"""Counts flows by the events about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ipmasq.core.events import Event, FlowClosed, FlowOpened
from ipmasq.core.reasons import Reason


class FlowCounts:
    """A listener of the gateway."""

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()
        """By the kind of their origin: `masquerade`, `forward`, `expectation`, `trigger`, `mapping`, `hairpin`."""
        self.closed: Counter[Reason] = Counter()

    def listen(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, FlowOpened):
                self.opened[event.origin.partition(" ")[0]] += 1
            elif isinstance(event, FlowClosed):
                self.closed[event.reason] += 1
