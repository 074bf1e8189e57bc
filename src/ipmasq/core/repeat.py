"""What a fast path needs to know of flows to repeat the engine's decisions, and what it reports.

The engine never learns whether there is a fast path. It says what has settled (events), answers what
its packets become (`Engine.halves`), is told what went by elsewhere (`Engine.report`), and calls `ask`
before it judges by what it has seen of a flow: so nothing that lives elsewhere is buried, and a reset
is compared with the place in the stream where its speaker really is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ipmasq.core.flow import Flow, Half
from ipmasq.core.side import Side
from ipmasq.wire import ipv4

Ask: TypeAlias = Callable[[int], object]
"""Called with the number of a flow; reports about it, if there is news, before it returns."""


class Repeated(NamedTuple):
    """One direction of a flow: packets that come in on `side` with `key` leave with `wire`
    (see `ipmasq.core.flow`)."""

    side: Side
    protocol: int
    key: bytes
    wire: bytes
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


def halves(flow: Flow) -> tuple[Repeated, Repeated]:
    """In the direction of who opened it, and back."""
    return _half(flow, flow.forth), _half(flow, flow.back)


def _half(flow: Flow, half: Half) -> Repeated:
    if flow.protocol != ipv4.TCP:
        return Repeated(half.side, flow.protocol, half.key, half.wire)
    place = half.end, half.acknowledged
    return Repeated(half.side, flow.protocol, half.key, half.wire, *place, flow.reach)


def report(flow: Flow, forth: Traffic | None, back: Traffic | None) -> None:
    for half, traffic in ((flow.forth, forth), (flow.back, back)):
        if traffic is not None and traffic.packets:
            half.packets += traffic.packets
            half.bytes += traffic.bytes
            flow.seen = max(flow.seen, traffic.seen)
            if flow.protocol == ipv4.TCP:
                half.end, half.acknowledged = traffic.end, traffic.acknowledged
