"""The request `watch`: events as they happen, of all flows or of some."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, get_args

from ipmasq.control import answers, arguments
from ipmasq.control.answer import Pause, Rows
from ipmasq.control.gateway import Context
from ipmasq.control.journal import Reader
from ipmasq.control.protocol import Kind, RequestError
from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.views import FlowView

BATCH = 64
"""The number of events taken from the journal at a time."""

NAMES = {answers.name_of(kind): kind for kind in get_args(Event)}
"""Every event by its name in snake case."""


def watch(context: Context, which: arguments.WhichEvents) -> Rows:
    """Yield events as they happen; this never ends by itself, unless only past events are wanted."""
    wanted = _Wanted(which)
    past = context.journal.kept() if which.last else ()
    reader = Reader(context.journal)
    yield from wanted.know_live_flows(context)
    for event in (yield from _latest(past, wanted, which.last)):
        yield answers.event(event, context.epoch)
    while which.follow:
        lost, found = reader.take(BATCH)
        if lost:
            yield answers.lost(lost)
        for event in found:
            yield answers.event(event, context.epoch) if wanted.has(event) else Pause.LOOKED
        if not found:
            yield Pause.WAITING


def _latest(
    past: Sequence[Event], wanted: _Wanted, most: int
) -> Generator[Pause, None, deque[Event]]:
    """Return the latest wanted events, `most` of them if there are so many. All are examined in their order,
    since one event of a flow decides whether later ones are wanted."""
    found: deque[Event] = deque(maxlen=most)
    for event in past:
        if wanted.has(event):
            found.append(event)
        yield Pause.LOOKED
    return found


class _Wanted:
    """The events that a client wants. Those of a flow include those of its data flows."""

    def __init__(self, which: arguments.WhichEvents) -> None:
        unknown = [name for name in which.events if name not in NAMES]
        if unknown:
            text = f"there is no event {', '.join(unknown)}; there are {', '.join(NAMES)}"
            raise RequestError(Kind.BAD_ARGUMENT, text)
        self._kinds = tuple(NAMES[name] for name in which.events)
        self._helper = which.helper
        self._flow = which.flow
        self._host = which.host
        self._flows: set[int] | None = None
        """Numbers of the flows to follow; None means all flows, and events that belong to none."""
        if which.flow is not None or which.host is not None:
            self._flows = set() if which.flow is None else {which.flow}

    def know_live_flows(self, context: Context) -> Generator[Pause, None, None]:
        """Add the live flows of the host, and the data flows of the flow, which were opened before this
        request."""
        if self._flows is not None:
            for number in context.numbers():
                view = context.gateway.engine.flow(number)
                if view is not None and (self._is_end(view) or self._is_master(view)):
                    self._flows.add(view.id)
                yield Pause.LOOKED

    def has(self, event: Event) -> bool:
        if self._flows is not None and not self._is_followed(event, self._flows):
            return False
        if self._kinds and not isinstance(event, self._kinds):
            return False
        return self._helper is None or getattr(event, "helper", None) == self._helper

    def _is_followed(self, event: Event, flows: set[int]) -> bool:
        number = getattr(event, "flow", None)
        if isinstance(event, events.FlowOpened) and (self._is_end(event) or self._is_master(event)):
            flows.add(event.flow)
        followed = number in flows
        if isinstance(event, events.LimitNeared | events.LimitReached):
            followed = event.host is not None and event.host == self._host
        if isinstance(event, events.FlowClosed):
            flows.discard(event.flow)
        return followed

    def _is_end(self, flow: FlowView | events.FlowOpened) -> bool:
        ends = flow.inside, flow.remote, flow.remote_real
        return self._host in [end.address for end in ends]

    def _is_master(self, flow: FlowView | events.FlowOpened) -> bool:
        return flow.master is not None and flow.master == self._flow


REQUESTS: dict[str, tuple[type[arguments.Arguments], Callable[[Context, Any], Rows]]] = {
    "watch": (arguments.WhichEvents, watch)
}
