"""Maps acknowledgment numbers, windows and SACK edges of a segment to what the other end must see."""

from __future__ import annotations

from ipmasq.core.direction import Direction
from ipmasq.core.stream import Stream
from ipmasq.wire import tcp
from ipmasq.wire.tcp import SYN, Segment

SHORTEST_SACK = 10
"""Bytes of a SACK option with one block (RFC 2018)."""


def renumbered(segment: Segment, flags: int, numbers: tuple[int, int, bytes]) -> Segment:
    """Return the segment with these flags, and this acknowledgment number, window and options."""
    acknowledgment, window, options = numbers
    same = acknowledgment == segment.acknowledgment and flags == segment.flags
    if same and window == segment.window and options == segment.options:
        return segment
    return segment._replace(
        acknowledgment=acknowledgment, flags=flags, window=window, options=options
    )


def window_left(me: Direction, heard: Stream, flags: int, window: int, early: int) -> int:
    """Return the window field of a segment of `me`: the `early` bytes of `heard` that were acknowledged early
    occupy room that was offered but is not filled yet. The gateway itself accepts the rest of a withheld
    message, since a listener with less room than a message would otherwise block it forever."""
    if not early:
        return window
    scale = 0 if flags & SYN else me.end.scale or 0
    left = heard.framer.longest - len(heard.undecided) if heard.undecided else 0
    room = max((window << scale) - early, left)
    return min(max(0, room + (1 << scale) - 1) >> scale, 0xFFFF)


def map_sack(stream: Stream, options: bytes) -> bytes:
    if len(options) < SHORTEST_SACK:
        return options

    def edge(sequence: int, is_left: bool) -> int:
        return stream.sequence(stream.original(stream.edited_position(sequence), is_left))

    return tcp.map_sack(options, edge)
