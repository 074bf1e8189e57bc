"""Reopening: a client that has lost its connection (after a crash, for example) opens another one from the
same port.

To the gateway the old connection is alive, and anybody can forge a SYN, so a SYN alone changes nothing. If
the server has lost the old connection too, it answers that SYN with a SYN of its own that acknowledges it
exactly, which only the receiver of the SYN can do (RFC 9293, 3.5). Then the flow is reopened with the same
mapping. If the server has not lost the connection, it answers with a challenge acknowledgment, and the client
resets the old connection itself.

A SYN in window of the old connection need not reopen a flow that no helper inspects: the segments after it
are in window, too. It may also be a late duplicate of the old SYN.
"""

from __future__ import annotations

from ipmasq.core.plain import Fields
from ipmasq.wire import tcp
from ipmasq.wire.tcp import Segment

MOST = 1024
"""The most SYNs that are remembered, one per flow. Beyond that the oldest is dropped; its client retransmits
it."""


class Reopenings:
    """The latest SYN of each client whose connection is alive here."""

    def __init__(self) -> None:
        self._syns: dict[int, Segment] = {}

    def to_state(self, flow: int) -> list[object] | None:
        """Return the SYN of a flow as plain values, or None."""
        syn = self._syns.get(flow)
        return None if syn is None else list(syn)

    def restore(self, flow: int, state: Fields) -> None:
        """Take over the SYN of a flow. Raises StateError."""
        header = [state.integer(at, 0, 0xFFFFFFFF) for at in range(8)]
        self._syns[flow] = Segment._make([*header, state.blob(8), state.integer(9, 0, 15)])

    def note(self, flow: int, syn: Segment) -> None:
        """Remember a SYN that the client of a flow (by its number) has sent: its options, not its payload."""
        self._syns.pop(flow, None)
        if len(self._syns) >= MOST:
            del self._syns[next(iter(self._syns))]
        self._syns[flow] = syn

    def take(self, flow: int, acknowledgment: int) -> Segment | None:
        """Return the SYN that a server's SYN acknowledges, and forget it; None if there is no such SYN."""
        syn = self._syns.get(flow)
        if syn is None or acknowledgment != tcp.advance(syn.sequence, 1):
            return None
        return self._syns.pop(flow)

    def discard(self, flow: int) -> None:
        """Forget the SYN of a flow that has ended."""
        self._syns.pop(flow, None)
