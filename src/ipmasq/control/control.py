"""The control interface of one gateway: which function answers which request, and who receives events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeAlias

from ipmasq.control import arguments, availability, changes, views, watching
from ipmasq.control.answer import Answer, Peer
from ipmasq.control.gateway import Context, RunningGateway
from ipmasq.control.journal import Journal
from ipmasq.control.protocol import Kind, RequestError, Row
from ipmasq.control.server import Access, Server
from ipmasq.control.transfers import Transfers
from ipmasq.core.events import Event
from ipmasq.gateway.loop import Loop

Change: TypeAlias = Callable[[Context, Any], Row]
Begin: TypeAlias = Callable[[Context, Any], Answer]


def _done(change: Change) -> Begin:
    """Return an answer without rows."""

    @wraps(change)
    def begin(context: Context, checked: Any) -> Answer:
        yield from ()
        return change(context, checked)

    return begin


REQUESTS: dict[str, tuple[type[arguments.Arguments], Begin]] = {
    **views.REQUESTS,
    **watching.REQUESTS,
    **availability.LISTINGS,
    **{
        name: (model, _done(change))
        for name, (model, change) in {**changes.REQUESTS, **availability.CHANGES}.items()
    },
}
"""Every request: its arguments, and the function that begins its answer."""


class Control:
    """Serves a running gateway on its socket."""

    def __init__(self, gateway: RunningGateway, loop: Loop, access: Access) -> None:
        self.journal = Journal()
        self.transfers = Transfers()
        self.server = Server(loop, self.answer, access)
        self._gateway = gateway
        self._loop = loop

    def open(self) -> None:
        """Open the socket. Raises SocketError."""
        self.server.open()

    def close(self) -> None:
        self.server.close()

    def tell(self, events: Sequence[Event]) -> None:
        """Record events, for clients that watch and for explanations."""
        self.journal.tell(events)
        self.transfers.tell(events)
        self.server.wake()

    def answer(self, name: str, given: dict[str, object], peer: Peer) -> Answer:
        """Begin to answer a request. Raises RequestError."""
        if name not in REQUESTS:
            known = ", ".join(REQUESTS)
            raise RequestError(
                Kind.UNKNOWN_REQUEST, f"there is no request {name!r}; there are {known}"
            )
        model, begin = REQUESTS[name]
        checked = arguments.check(model, given)
        now = self._loop.clock()
        context = Context(self._gateway, self.journal, self.transfers, peer, now, time.time() - now)
        return begin(context, checked)
