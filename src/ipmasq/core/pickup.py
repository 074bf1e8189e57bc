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

    __slots__ = ("fins", "latest", "positions")

    def __init__(self) -> None:
        self.positions: dict[Speaker, tuple[int, int]] = {}
        """The position of each end by its latest segment, which may have been forwarded elsewhere."""
        self.latest: dict[Speaker, Noted] = {}
        """The latest segment of each end, if that was received here."""
        self.fins: dict[Speaker, Noted] = {}
        """The latest FIN of each end, after which it may have sent again what came before."""

    def note(self, noted: Noted) -> Sequence[Noted]:
        """See `Pickups.note`. Of no RST."""
        speaker, flow = noted.half.speaker, noted.half.flow
        if noted.segment.flags & FIN:
            self.fins[speaker] = noted
        self.latest.pop(speaker, None)  # so that the latest one is the last
        self.latest[speaker], self.positions[speaker] = noted, noted.position
        closes = any(each.segment.flags & FIN for each in self.latest.values())
        if not self.settle(flow, NEAR if closes else MOST_IN_FLIGHT):
            return ()
        return (*self.believed_fins(flow), *self.latest.values())

    def believed_fins(self, flow: Flow) -> Sequence[Noted]:
        """Return the FINs that agree with the positions, which are known now."""
        return [
            each
            for speaker, each in self.fins.items()
            if _agree(flow, self.positions | {speaker: each.position}, NEAR)
        ]

    def note_elsewhere(self, half: Half, position: int) -> None:
        """Note the position of an end by its latest segment, which was forwarded elsewhere."""
        self.latest.pop(half.speaker, None)
        self.positions[half.speaker] = position >> 32, position & 0xFFFFFFFF

    def settle(self, flow: Flow, most: int) -> bool:
        """Let the flow have these positions if both ends have sent something and they agree. Return whether it has."""
        if len(self.positions) < len(Speaker) or not _agree(flow, self.positions, most):
            return False
        for half in (flow.original, flow.reply):
            end, acknowledged = self.positions[half.speaker]
            half.position = end << 32 | acknowledged
        return True


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
            other = seen.positions.get(half.speaker.other)
            return (noted,) if other is not None and other[1] == segment.sequence else ()
        believed = seen.note(noted) if flags & (SYN | ACK) == ACK else ()
        if believed:
            del self._flows[number]
        return believed

    def note_elsewhere(self, flow: Flow, counters: Counters) -> Sequence[Noted] | None:
        """Record what a fast path has forwarded of a flow, whose positions it has noted by the latest segments of its ends.
        Return the FINs that are believed now, if the positions of both are known now; otherwise None."""
        seen = self._flows[flow.id] = self._flows[flow.id] or Seen()
        for half, traffic in zip((flow.original, flow.reply), counters, strict=True):
            if traffic is not None and traffic.packets:
                seen.note_elsewhere(half, traffic.position)
        return seen.believed_fins(flow) if seen.settle(flow, MOST_IN_FLIGHT) else None


def report(
    pickups: Pickups, flow: Flow, counters: Counters, are_judged: bool
) -> Sequence[Noted] | None:
    """Record counters of packets that were forwarded elsewhere. Unless they `are_judged`, their positions are those of the
    latest segments, in window or not. If the positions of a flow are known now that were to be picked up, return the FINs
    that are believed because of that: the segment with which it agrees may have been forwarded elsewhere."""
    offloading.report(flow, counters, are_judged)
    if flow.id not in pickups:
        return None
    if are_judged:
        believed: Sequence[Noted] | None = None if None in counters else ()
    else:
        believed = pickups.note_elsewhere(flow, counters)
    if believed is not None:
        pickups.discard(flow.id)
    return believed


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
