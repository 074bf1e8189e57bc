"""Segments that the gateway sends in the name of one end: acknowledgments, and bytes that it has withheld or
acknowledged early."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from ipmasq.core.cutting import Sent
from ipmasq.core.direction import Direction
from ipmasq.core.renumbering import window_left
from ipmasq.core.tcp_end import STAMPED, USUAL_MSS
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, PSH, Segment

MOST_BLOCKS = 3
"""The number of SACK blocks that fit beside timestamps."""


def speak(me: Direction, other: Direction, at: int, data: bytes, sack: bytes = b"") -> Sent:
    """Return a segment in the name of the speaker of `me`: edited bytes `data` of its stream, at edited
    position `at`, with its latest numbers."""
    stream = me.stream
    assert stream is not None
    mine, theirs = me.end.timestamp, other.end.timestamp
    stamps = STAMPED + mine + theirs if mine and theirs else b""
    acknowledgment = window = 0
    heard = other.stream
    if heard is not None:
        acknowledged = heard.original(heard.acknowledged)
        early = max(acknowledged, heard.acked_early)
        acknowledgment = heard.sequence(early)
        window = window_left(me, heard, ACK, me.end.window, early - acknowledged)
    segment = Segment(
        source_port=0,
        destination_port=0,
        sequence=stream.sequence(at),
        acknowledgment=acknowledgment,
        flags=ACK | (PSH if data else 0),
        window=window,
        checksum=0,
        urgent=0,
        options=stamps + sack,
    )
    return Sent(me.speaker, segment, data)


def ack_early(me: Direction, other: Direction) -> list[Sent]:
    """Acknowledge withheld bytes to their speaker, `me`, so that it continues; see `stream`."""
    stream = me.stream
    if stream is None or stream.acknowledged != stream.ready:
        return []
    stream.acked_early = stream.received
    return _answer(me, other, b"")


def report_gap(me: Direction, other: Direction, position: int) -> list[Sent]:
    """Report a gap to the speaker in the listener's name (RFC 2018). Segments that arrive early are kept
    here, so the listener cannot report them, and the speaker would learn of the gap only by its timer."""
    stream = me.stream
    blocks = b""
    if stream is not None and me.end.takes_sack and other.end.takes_sack:
        early = sorted(
            stream.waiting.ranges(), key=lambda block: not block[0] <= position < block[1]
        )
        for start, end in early[:MOST_BLOCKS]:
            blocks += stream.sequence(start).to_bytes(4, "big")
            blocks += stream.sequence(end).to_bytes(4, "big")
        blocks = bytes((tcp.NOP, tcp.NOP, tcp.SACK, 2 + len(blocks))) + blocks
    return _answer(me, other, blocks)


def _answer(me: Direction, other: Direction, sack: bytes) -> list[Sent]:
    """Return an acknowledgment to the speaker of `me` in the listener's name."""
    stream = other.stream
    if stream is None:
        return []
    return [speak(other, me, stream.ready + (1 if stream.ended else 0), b"", sack)]


def deliver(
    me: Direction, other: Direction, now: float, hold: float, path_mtu: int | None
) -> Iterator[Sent]:
    """Yield the segments of `me` that are due."""
    stream, delivery = me.stream, me.delivery
    if stream is None:
        return
    start, delivery.left_at = delivery.left_at, None
    end = stream.ready if stream.transparent is None else stream.transparent
    if start is None and now >= delivery.since + hold:
        start = end
        me.forward_withheld()
        end = stream.ready
    if start is not None:
        delivery.since = inf
        if stream.acked_early > stream.original(start):
            delivery.leaves(now)
    elif now >= delivery.repeat_at:
        start, end = stream.acknowledged, stream.edited(stream.acked_early, round_up=True)
        delivery.repeats_now(now)
    else:
        return
    at, data = stream.slice(start, end)
    room = other.end.room(12, USUAL_MSS, path_mtu)
    for index in range(0, len(data), room):
        yield speak(me, other, at + index, data[index : index + room])
