"""A client that has lost its connection (it crashed, say) and opens another one from the same port.

To the gateway the old connection is alive, and anybody can write a SYN, so a SYN alone changes nothing. If the
server has lost the old connection too, it answers that SYN with one of its own that acknowledges it exactly, as
only who received it can (RFC 9293, 3.5); then the flow begins anew, with the same mapping. If the server has
not lost it, it answers with a challenge acknowledgment, and the client resets the old connection itself.

A SYN whose number is within reach of the old connection's need not begin anything anew if nobody inspects the
flow: what follows it is believed as it is. It may also be the old one, which comes late.
"""

from __future__ import annotations

from ipmasq.wire import tcp
from ipmasq.wire.tcp import Segment

MOST = 1024
"""SYNs that are remembered, one for a flow. The oldest gives way: its client repeats it."""


class Reopenings:
    """The latest SYN of each client whose connection is alive here."""

    def __init__(self) -> None:
        self._syns: dict[int, Segment] = {}

    def note(self, flow: int, syn: Segment) -> None:
        """The client of a flow (by its number) has sent this SYN; its options are kept, no payload."""
        self._syns.pop(flow, None)
        if len(self._syns) >= MOST:
            del self._syns[next(iter(self._syns))]
        self._syns[flow] = syn

    def take(self, flow: int, acknowledgment: int) -> Segment | None:
        """The SYN that a server's SYN acknowledges, and it is forgotten; None if there is no such one."""
        syn = self._syns.get(flow)
        if syn is None or acknowledgment != tcp.advance(syn.sequence, 1):
            return None
        return self._syns.pop(flow)

    def discard(self, flow: int) -> None:
        """The flow has ended."""
        self._syns.pop(flow, None)
