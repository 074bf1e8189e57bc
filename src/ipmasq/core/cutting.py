"""Cuts edited bytes of a stream into segments that the listener and the path accept."""

from __future__ import annotations

from typing import NamedTuple

from ipmasq.core.direction import Direction
from ipmasq.core.runs import Run
from ipmasq.core.speaker import Speaker
from ipmasq.core.stream import Stream
from ipmasq.core.tcp_end import LEAST_ROOM
from ipmasq.wire.tcp import CWR, FIN, PSH, URG, Segment


class Sent(NamedTuple):
    """A segment in the name of `speaker`, in the other end's sequence numbers."""

    speaker: Speaker
    segment: Segment
    payload: bytes


def cut(
    me: Direction,
    other: Direction,
    segment: Segment,
    position: int,
    runs: list[Run],
    size: int,
    path_mtu: int | None,
) -> list[Sent]:
    """Return segments of `me` that carry these runs, none larger than the listener and the path accept, with
    the header of `segment`, which came in at original `position`. `size` is the payload of the largest
    segment that came in, in bytes."""
    stream, speaker = me.stream, me.speaker
    assert stream is not None
    is_short = len(runs) == 1 and len(runs[0].data) <= LEAST_ROOM
    room = LEAST_ROOM if is_short else other.end.room(len(segment.options), size, path_mtu)
    if len(runs) == 1 and len(runs[0].data) <= room and not segment.flags & (FIN | URG):
        start, data = runs[0]
        return [Sent(speaker, _with_sequence(segment, stream.sequence(start)), data)]
    pieces = [
        Run(start + at, data[at : at + room])
        for start, data in runs
        for at in range(0, len(data) or 1, room)
    ]
    urgent = stream.edited(position + segment.urgent, round_up=True) if segment.flags & URG else 0
    last = len(pieces) - 1
    return [
        Sent(speaker, _piece(stream, segment, piece, urgent, not index, index == last), piece.data)
        for index, piece in enumerate(pieces)
    ]


def _with_sequence(segment: Segment, sequence: int) -> Segment:
    """Return the segment with another sequence number; most keep theirs."""
    return segment if sequence == segment.sequence else segment._replace(sequence=sequence)


def _piece(
    stream: Stream, segment: Segment, run: Run, urgent: int, first: bool, last: bool
) -> Segment:
    """Return the header of one of several segments. `urgent` is the edited position of the byte after urgent
    data."""
    # As a card with segmentation offload does: CWR on the first, PSH on the last (RFC 3168, 6.1.2).
    flags = segment.flags & ~(FIN | (0 if last else PSH) | (0 if first else CWR))
    start, data = run
    # `edited` of the end is the FIN's own position: everything before it has been decided.
    at_end = stream.end is not None and start + len(data) == stream.edited(stream.end)
    if segment.flags & FIN and stream.ended and at_end:
        flags |= FIN
    pointer = segment.urgent
    if flags & URG:
        pointer = urgent - start if 0 < urgent - start <= 0xFFFF else 0
        flags &= ~(0 if pointer else URG)
    return segment._replace(sequence=stream.sequence(start), flags=flags, urgent=pointer)
