"""Why the transfers of a control flow do not work: what was last refused, and which flows are encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipmasq.core import expectations
from ipmasq.core.events import (
    Event,
    ExpectationEnded,
    ExpectationMissed,
    FlowClosed,
    FlowEncrypted,
    Refused,
)
from ipmasq.core.reasons import Reason
from ipmasq.gateway.describe import consequence, missed, show
from ipmasq.wire.addresses import Endpoint

MOST = 4096
"""The most control flows of which something is kept: about a megabyte."""

LONGEST_LINE = 80
"""The most bytes of a line that are kept."""

CLAUSES = {
    expectations.NOT_ITS_OWN: "which is not its own address",
    expectations.SYSTEM_PORT: "which is a port below 1024",
    expectations.HOST_HAS_TOO_MANY: "but its host has too many announcements that nobody has used",
    expectations.NO_PORT: "but no public port is free",
    expectations.HOST_HAS_TOO_MANY_PORTS: "but its host has too many public ports",
}


class Transfers:
    """A listener of events. Remembers the last trouble of each control flow, also after that has ended."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._trouble: dict[int, tuple[Endpoint | None, str]] = {}
        """By control flow, the latest last: the endpoint that did not get a connection, and a sentence."""
        self._encrypted: dict[int, str] = {}
        """Sentences by live control flow."""

    def observe(self, happened: Sequence[Event]) -> None:
        for event in happened:
            match event:
                case Refused():
                    self._keep(event.flow, event.announced, refusal(event))
                case ExpectationEnded(reason=Reason.MET):
                    self._trouble.pop(event.flow, None)
                case ExpectationMissed():
                    self._keep(event.flow, event.public, missed(event))
                case ExpectationEnded(reason=Reason.IDLE) if not self._knows(event):
                    text = (
                        f"the connection that was announced for {event.public} did not come in time"
                    )
                    self._keep(event.flow, event.public, text)
                case FlowEncrypted():
                    text = f"it is encrypted: {consequence(event.opened_by)}"
                    self._encrypted[event.flow] = text
                    _shorten(self._encrypted, self._most)
                case FlowClosed():
                    self._encrypted.pop(event.flow, None)

    def is_encrypted(self, flow: int) -> bool:
        return flow in self._encrypted

    def about(self, flow: int) -> str | None:
        """Return why transfers of this control flow do not work, in one sentence; None if nothing is known."""
        if flow in self._encrypted:
            return self._encrypted[flow]
        return self._trouble[flow][1] if flow in self._trouble else None

    def at(self, endpoint: Endpoint) -> str | None:
        """Return why no connection to this endpoint was expected, by the latest announcement of it."""
        found = (
            f"{text} (flow {flow})"
            for flow, (announced, text) in reversed(self._trouble.items())
            if announced == endpoint
        )
        return next(found, None)

    def _knows(self, event: ExpectationEnded) -> bool:
        """Return whether there is a better reason than the time why nobody has met an expectation."""
        return event.flow in self._trouble and self._trouble[event.flow][0] == event.public

    def _keep(self, flow: int, endpoint: Endpoint | None, text: str) -> None:
        self._trouble.pop(flow, None)
        self._trouble[flow] = endpoint, text
        _shorten(self._trouble, self._most)


def refusal(event: Refused) -> str:
    """Return a refusal as one sentence."""
    who = event.speaker.name.lower()
    if event.announced is None:
        line = show(event.line[:LONGEST_LINE])
        return f"the {who} sent {line}, on which helper {event.helper} did not act: {event.reason}"
    clause = CLAUSES.get(event.reason, f"but {event.reason}")
    return f"the {who} announced {event.announced}, {clause}, so nothing was opened"


def _shorten(kept: dict[int, Any], most: int) -> None:
    if len(kept) > most:
        del kept[next(iter(kept))]
