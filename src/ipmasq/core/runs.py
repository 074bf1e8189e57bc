"""Selects the edited bytes that a segment causes to be sent: those that it requests, and what was withheld
before them."""

from __future__ import annotations

from typing import NamedTuple

from ipmasq.core.direction import Delivery
from ipmasq.core.stream import Stream


class Run(NamedTuple):
    """Edited bytes of a stream from edited position `start` on."""

    start: int
    data: bytes


def asked(
    stream: Stream, start: int, position: int, payload: bytes, to: int | None = None
) -> list[Run]:
    """Return the edited bytes from `start` to `to`, or to the end of the payload."""
    if to is None:
        to = stream.edited(position + len(payload), round_up=True)
    if position < stream.unseen:
        passed = [Run(position, payload[: stream.unseen - position])]
        return passed + ([Run(*stream.slice(stream.unseen, to))] if to > stream.unseen else [])
    if to <= start:
        return [Run(min(start, stream.ready), b"")]
    at, found = stream.slice(start, to)
    # Bytes that the listener has acknowledged are no longer kept, but a retransmission must be answered.
    return [Run(at, found) if found else Run(min(start, stream.ready - 1), b"")]


def early(stream: Stream, before: int) -> Run:
    """Return what was acknowledged early and has not arrived, up to an edited position: its speaker
    retransmits what comes after, and never this."""
    end = min(stream.edited(stream.acked_early, round_up=True), before)
    return Run(*stream.slice(stream.acknowledged, max(end, stream.acknowledged)))


def see_through(
    stream: Stream, delivery: Delivery, position: int, payload: bytes, now: float
) -> list[Run]:
    """Return the runs of a transparent stream: what was kept before it became so, then the payload, shifted."""
    transparent = stream.transparent
    assert transparent is not None
    runs = []
    boundary = stream.original(transparent)
    end = position + len(payload)
    stream.pass_by(end)
    start = stream.edited(position)
    if payload and now >= delivery.repeat_at:
        delivery.repeats_now(now)
        runs.append(early(stream, min(start, transparent)))
    if position < stream.unseen:
        runs.append(Run(position, payload[: stream.unseen - position]))
        start = max(start, stream.unseen)
    if start < transparent:
        to = transparent if end >= boundary else stream.edited(end, round_up=True)
        if to > start or position >= stream.unseen:
            at, found = stream.slice(start, to)
            # As in `asked`: a retransmission of bytes that are no longer kept is answered by its listener.
            runs.append(Run(at, found) if found else Run(min(start, transparent - 1), b""))
    raw = payload[max(0, boundary - position) :]
    if raw or (start >= transparent and position >= stream.unseen):
        runs.append(Run(max(stream.edited(position), transparent), raw))
    return runs


def within_window(stream: Stream, edge: int | None, position: int, payload: bytes) -> bytes:
    """Return the part of a payload within the window that the listener (up to `edge`), or the gateway in its
    place, has offered. The rest does not belong to this connection, or will be retransmitted."""
    if edge is None or stream.transparent is not None:
        return payload
    most = stream.original(max(edge, stream.ready), round_up=True) + stream.framer.longest
    return payload[: max(0, most - position)]
