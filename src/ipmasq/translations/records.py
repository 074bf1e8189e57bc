"""Follows flows, and makes the records of the translation log: one when a translation begins and one when it
ends.

Without destinations, a translation is a mapping: all flows of an inside endpoint by one public endpoint,
from the first one to the last. With destinations, it is a flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.views import FlowView
from ipmasq.wire.addresses import Endpoint


class Ends(NamedTuple):
    protocol: int
    inside: Endpoint
    public: Endpoint
    remote: Endpoint | None
    """None without destinations."""


class Translation:
    """A translation that has begun and not ended. Times are on the engine's clock, in seconds."""

    __slots__ = ("began", "ends", "flow", "flows")

    def __init__(self, ends: Ends, began: float, flow: int) -> None:
        self.ends = ends
        self.began = began
        self.flow = flow
        """The flow's number, or that of the first one."""
        self.flows = 0
        """The number of its flows."""


class Record(NamedTuple):
    at: float
    opened: bool
    translation: Translation
    reason: str | None = None
    """Why it ended."""


class Translations:
    def __init__(self, destinations: bool) -> None:
        self._destinations = destinations
        self._flows: dict[int, Translation] = {}
        """By the number of each flow."""
        self._mappings: dict[Ends, Translation] = {}
        """Those without destinations."""
        self._finished: dict[int, Translation] = {}
        """Those of flows that are over and may be revived."""

    def __len__(self) -> int:
        """The number of translations that have begun and not ended."""
        return len(set(map(id, self._flows.values())))

    def open(self) -> set[Ends]:
        return {translation.ends for translation in self._flows.values()}

    def follow(self, happened: Sequence[Event]) -> Iterator[Record]:
        """Yield the records that these events cause."""
        for event in happened:
            if isinstance(event, events.FlowOpened):
                yield from self._begin(event.at, event, event.flow)
            elif isinstance(event, events.FlowClosed):
                self._finished.pop(event.flow, None)
                yield from self._end(event.at, event.flow, event.reason.name.lower())
            elif isinstance(event, events.FlowFinished):
                if not self._destinations and event.flow in self._flows:
                    self._finished[event.flow] = self._flows[event.flow]
                    yield from self._end(event.at, event.flow, "finished")
            elif isinstance(event, events.FlowRevived) and event.flow in self._finished:
                yield from self._join(event.at, event.flow, self._finished.pop(event.flow).ends)

    def know(self, view: FlowView, now: float, over: bool) -> Iterator[Record]:
        """Yield the record of a flow that was opened before the log was, unless it is known. `over`: it has
        finished."""
        if over and not self._destinations and view.id not in self._flows:
            ends = Ends(view.protocol, view.inside, view.public, None)
            self._finished.setdefault(view.id, Translation(ends, view.opened, view.id))
        elif view.id not in self._finished:
            yield from self._begin(now, view, view.id, view.opened)

    def end_all(self, now: float, reason: str, alive: Iterable[int] = ()) -> Iterator[Record]:
        """Yield the ends of all translations but those of flows that are alive."""
        kept = frozenset(alive)
        for flow in [each for each in self._flows if each not in kept]:
            yield from self._end(now, flow, reason)
        for flow in self._finished.keys() - kept:
            del self._finished[flow]

    def _begin(
        self, at: float, flow: events.FlowOpened | FlowView, number: int, began: float | None = None
    ) -> Iterator[Record]:
        if number in self._flows:
            return  # its event comes after the look at the live flows
        remote = flow.remote if self._destinations else None
        yield from self._join(
            at, number, Ends(flow.protocol, flow.inside, flow.public, remote), began
        )

    def _join(
        self, at: float, flow: int, ends: Ends, began: float | None = None
    ) -> Iterator[Record]:
        """Add a flow to its translation, which begins if there is none."""
        translation = None if self._destinations else self._mappings.get(ends)
        if translation is None:
            translation = Translation(ends, at if began is None else began, flow)
            if not self._destinations:
                self._mappings[ends] = translation
            yield Record(at, True, translation)
        translation.flows += 1
        self._flows[flow] = translation

    def _end(self, at: float, flow: int, reason: str) -> Iterator[Record]:
        """Remove a flow from its translation, which ends with the last one."""
        translation = self._flows.pop(flow, None)
        if translation is None:
            return
        translation.flows -= 1
        if not translation.flows:
            self._mappings.pop(translation.ends, None)
            yield Record(at, False, translation, reason)
