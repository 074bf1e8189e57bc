"""What a fast path needs to know of flows to repeat the engine's decisions, and what it reports.

The engine never learns whether there is a fast path. It says what has settled (events), answers what
its packets become (`Engine.halves`), is told what went by elsewhere (`Engine.report`), and calls `sync_counters`
before it judges by what it has seen of a flow: so nothing that lives elsewhere is buried, and a reset
is compared with the place in the stream where its speaker really is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ipmasq.core.flow import Flow, Half
from ipmasq.core.side import Side
from ipmasq.wire import ipv4

CounterSource: TypeAlias = Callable[[int], object]
"""Called with the number of a flow; reports about it, if there is news, before it returns."""


class Rewrite(NamedTuple):
    """One direction of a flow: packets that come in on `side` with `match` leave with `rewrite`
    (see `ipmasq.core.flow`)."""

    side: Side
    protocol: int
    match: bytes
    rewrite: bytes
    end: int = 0
    acknowledged: int = 0
    """TCP: where its speaker is in the stream, see `ipmasq.core.flow.Half`; 0 otherwise."""
    reach: int = 0
    """TCP: a segment whose end and acknowledgment number are both within 2 to the power of `reach` bytes
    of those, modulo 2^32, is believed, and each moves there unless that is up to `LATE` bytes back. Others
    are forwarded and change neither."""


class Traffic(NamedTuple):
    """What went by in one direction since the last report. `seen`: when the latest packet that was
    believed did, on the engine's clock; `end` and `acknowledged`: how far its speaker has come (TCP)."""

    seen: float
    packets: int
    bytes: int
    end: int = 0
    acknowledged: int = 0


def halves(flow: Flow) -> tuple[Rewrite, Rewrite]:
    """In the direction of who opened it, and back."""
    return _half(flow, flow.original), _half(flow, flow.reply)


def _half(flow: Flow, half: Half) -> Rewrite:
    if flow.protocol != ipv4.TCP:
        return Rewrite(half.side, flow.protocol, half.match, half.rewrite)
    position = half.end, half.acknowledged
    return Rewrite(half.side, flow.protocol, half.match, half.rewrite, *position, flow.reach)


def report(flow: Flow, original: Traffic | None, reply: Traffic | None) -> None:
    for half, traffic in ((flow.original, original), (flow.reply, reply)):
        if traffic is not None and traffic.packets:
            half.packets += traffic.packets
            half.bytes += traffic.bytes
            flow.last_seen = max(flow.last_seen, traffic.seen)
            if flow.protocol == ipv4.TCP:
                half.end, half.acknowledged = traffic.end, traffic.acknowledged
