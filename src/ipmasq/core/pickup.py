"""Picking up connections whose positions are not known, as conntrack does for connections that it has not seen open.

The record of an established flow lags behind the packets that needed no decision. After a restart from such records
the positions of its ends are too old to tell which segments are in window. They are picked up from the first
segments of both directions that agree with each other: each end acknowledges about what the other has sent. Who
cannot see the connection can forge a segment, but not one that agrees with the other end's. Until then every
segment is forwarded, and none changes the state.

The first segments may be those that end the connection. A FIN counts as one of the two that must agree, and is believed
together with the other one, if they are as near to each other as `window` wants it. A RST is believed if it stands exactly
where the other end's latest segment has acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ipmasq.core import offloading
from ipmasq.core.flow import Flow, Half
from ipmasq.core.offloading import Counters
from ipmasq.core.speaker import Speaker
from ipmasq.core.window import NEAR
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, FIN, RST, SYN, Segment

MOST_IN_FLIGHT = 1 << 24
"""Bytes by which what an end has acknowledged may differ from what the other has sent, if the windows allow it. Two
numbers that are guessed agree in one of 16,000 cases."""


class Noted(NamedTuple):
    """A segment of one end."""

    half: Half
    segment: Segment
    payload: int

    @property
    def position(self) -> tuple[int, int]:
        """The sequence number after it, and its acknowledgment."""
        length = self.payload + bool(self.segment.flags & FIN)
        return tcp.advance(self.segment.sequence, length), self.segment.acknowledgment


class Seen:
    """What was seen of a flow whose positions are not known."""

    __slots__ = ("fins", "latest")

    def __init__(self) -> None:
        self.latest: dict[Speaker, Noted] = {}
        self.fins: dict[Speaker, Noted] = {}
        """The latest FIN of each end, after which it may have sent again what came before."""

    def note(self, noted: Noted) -> Sequence[Noted]:
        """See `Pickups.note`. Of no RST."""
        speaker, flow = noted.half.speaker, noted.half.flow
        if noted.segment.flags & FIN:
            self.fins[speaker] = noted
        self.latest.pop(speaker, None)  # so that the latest one is the last
        self.latest[speaker] = noted
        if len(self.latest) < len(Speaker):
            return ()
        closes = any(each.segment.flags & FIN for each in self.latest.values())
        positions = {speaker: each.position for speaker, each in self.latest.items()}
        if not _agree(flow, positions, NEAR if closes else MOST_IN_FLIGHT):
            return ()
        for each in self.latest.values():
            end, acknowledged = each.position
            each.half.position = end << 32 | acknowledged
        fins = [
            each
            for speaker, each in self.fins.items()
            if _agree(flow, positions | {speaker: each.position}, NEAR)
        ]
        return (*fins, *self.latest.values())


class Pickups:
    """Flows whose positions are to be picked up."""

    def __init__(self) -> None:
        self._flows: dict[int, Seen | None] = {}
        """By number; None of those of which nothing was seen, which may be very many."""

    def __contains__(self, flow: int) -> bool:
        return flow in self._flows

    def add(self, flow: int) -> None:
        self._flows[flow] = None

    def discard(self, flow: int) -> None:
        """Forget a flow that has ended, or whose positions are known otherwise."""
        self._flows.pop(flow, None)

    def note(self, noted: Noted) -> Sequence[Noted]:
        """Record a segment of a flow. Return the segments that are believed now, of which it is the last: those of both ends,
        whose positions are known now, or a RST."""
        half, segment, _ = noted
        number, flags = half.flow.id, segment.flags
        seen = self._flows[number] = self._flows[number] or Seen()
        if flags & RST:
            other = seen.latest.get(half.speaker.other)
            is_exact = other is not None and other.segment.acknowledgment == segment.sequence
            return (noted,) if is_exact else ()
        believed = seen.note(noted) if flags & (SYN | ACK) == ACK else ()
        if believed:
            del self._flows[number]
        return believed

    def agree(self, flow: Flow, counters: Counters) -> bool:
        """Return whether the positions of a flow were to be picked up, and are those that a fast path has noted, of the
        latest segments of both ends."""
        if flow.id not in self._flows:
            return False
        seen: dict[Speaker, tuple[int, int]] = {}
        for half, traffic in zip((flow.original, flow.reply), counters, strict=True):
            if traffic is None or not traffic.packets:
                return False
            seen[half.speaker] = traffic.position >> 32, traffic.position & 0xFFFFFFFF
        return _agree(flow, seen, MOST_IN_FLIGHT)


def report(pickups: Pickups, flow: Flow, counters: Counters, are_judged: bool) -> bool:
    """Record counters of packets that were forwarded elsewhere. Unless they `are_judged`, their positions are those of the
    latest segments, in window or not. Return whether the positions of a flow are known now that were to be picked up."""
    are_believed = are_judged or pickups.agree(flow, counters)
    offloading.report(flow, counters, are_believed)
    if flow.id not in pickups or None in counters or not are_believed:
        return False
    pickups.discard(flow.id)
    return True


def _agree(flow: Flow, seen: dict[Speaker, tuple[int, int]], most: int) -> bool:
    most = min(1 << flow.reach, most)
    (end, acknowledged), (other_end, other_acknowledged) = (
        seen[Speaker.CLIENT],
        seen[Speaker.SERVER],
    )
    return (
        abs(tcp.distance(other_acknowledged, end)) <= most
        and abs(tcp.distance(acknowledged, other_end)) <= most
    )
