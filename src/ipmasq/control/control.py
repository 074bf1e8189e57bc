"""The control interface of one gateway: which function answers which request, and who receives events."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeAlias

from ipmasq.control import arguments, availability, changes, live, upgrading, views, watching
from ipmasq.control.answer import Answer, Peer
from ipmasq.control.examination import Examination
from ipmasq.control.gateway import Context, RunningGateway
from ipmasq.control.journal import Journal
from ipmasq.control.protocol import Kind, RequestError, Row
from ipmasq.control.server import Access, Server, SocketError
from ipmasq.control.survey import Survey
from ipmasq.control.transfers import Transfers
from ipmasq.core.events import Event
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.upgrade import Upgrade

log = logging.getLogger("ipmasq")

Change: TypeAlias = Callable[[Context, Any], Row]
Begin: TypeAlias = Callable[[Context, Any], Answer]


def _done(change: Change) -> Begin:
    """Return an answer without rows."""

    @wraps(change)
    def begin(context: Context, checked: Any) -> Answer:
        yield from ()
        return change(context, checked)

    return begin


VIEWS: dict[str, tuple[type[arguments.Arguments], Begin]] = {
    **views.REQUESTS,
    **live.REQUESTS,
    **watching.REQUESTS,
    **availability.LISTINGS,
}
"""Requests that change nothing."""

REQUESTS: dict[str, tuple[type[arguments.Arguments], Begin]] = {
    **VIEWS,
    **changes.ANSWERS,
    **{
        name: (model, _done(change))
        for name, (model, change) in {**changes.REQUESTS, **availability.CHANGES}.items()
    },
    **upgrading.REQUESTS,
}
"""Every request: its arguments, and the function that begins its answer."""


class Control:
    """Serves a running gateway on its socket."""

    def __init__(
        self,
        gateway: RunningGateway,
        loop: Loop,
        access: Access,
        viewing: Access | None = None,
        doctor: Sequence[str] = (),
        upgrade: Upgrade | None = None,
    ) -> None:
        """`viewing` is that of a second socket, on which nothing can be changed. `doctor` is the command that
        examines the host, `upgrade` the successor of this process, if it can have one."""
        self.journal = Journal()
        self.transfers = Transfers()
        self.survey = Survey(gateway.engine, loop)
        self.examination = Examination(loop, doctor)
        self.server = Server(loop, self.answer, access)
        self.viewing = Server(loop, self.view, viewing) if viewing is not None else None
        self._gateway = gateway
        self._upgrade = upgrade
        self._loop = loop

    def open(self) -> None:
        """Open the sockets. Raises SocketError; then none is open."""
        self.server.open()
        try:
            if self.viewing is not None:
                self.viewing.open()
        except SocketError:
            self.server.close()
            raise

    def restore(self) -> None:
        """Serve the sockets again that a successor took before it failed. One that cannot be served is logged."""
        for server in self._servers:
            try:
                server.restore()
            except SocketError as error:
                log.error("%s", error)

    def settle(self) -> None:
        """Give the answers that are due, since this process ends."""
        for server in self._servers:
            server.settle()

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self.examination.close()

    def observe(self, events: Sequence[Event]) -> None:
        """Record events, for clients that watch and for explanations."""
        self.journal.observe(events)
        self.transfers.observe(events)
        self.survey.observe(events)
        for server in self._servers:
            server.wake()

    @property
    def _servers(self) -> tuple[Server, ...]:
        return (self.server,) if self.viewing is None else (self.server, self.viewing)

    def view(self, name: str, given: dict[str, object], peer: Peer) -> Answer:
        """Begin to answer a request of a client that may change nothing. Raises RequestError."""
        if name in REQUESTS and name not in VIEWS:
            text = f"nothing can be changed by this socket, so it has no {name}"
            raise RequestError(Kind.FORBIDDEN, text)
        return self.answer(name, given, peer)

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
        context = Context(
            gateway=self._gateway,
            journal=self.journal,
            transfers=self.transfers,
            survey=self.survey,
            examination=self.examination,
            upgrade=self._upgrade,
            peer=peer,
            now=now,
            clock=self._loop.clock,
            epoch=time.time() - now,
        )
        return begin(context, checked)
