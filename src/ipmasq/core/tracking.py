"""What segments mean for the state of their flow.

Only what stands near the place where the connection is counts (RFC 7857, 2.2): anybody can write a
segment with the right addresses and ports.
"""

from __future__ import annotations

from ipmasq.core.door import Speaker
from ipmasq.core.flow import Half
from ipmasq.core.life import Life
from ipmasq.core.tcp_states import Input, State, following
from ipmasq.wire import tcp

NEAR = 0xFFFF
"""Bytes beyond what was acknowledged within which the end of a stream is believed to be."""


def track(
    life: Life, half: Half, segment: tcp.Segment, payload: int, acknowledgment: int | None
) -> None:
    """`payload` in bytes; `acknowledgment` as the other end counts (None: it says nothing new)."""
    flow = half.flow
    twin = half.twin
    before = flow.state
    flow.state = _following(half, twin, segment, payload)
    if not segment.flags & tcp.RST:
        _remember(half, twin, segment, payload, acknowledgment, before)
    if flow.state is not before:
        if flow.state is State.C_S_FIN:
            life.unlink(flow)
        life.set_timer(flow)
    life.settle(flow)


def _following(half: Half, twin: Half, segment: tcp.Segment, payload: int) -> State:
    state, flags = half.flow.state, segment.flags
    client = half.speaker is Speaker.CLIENT
    if flags & tcp.RST:
        return following(state, Input.RESET) if _is_exact(half, twin, segment) else state
    if flags & tcp.SYN:
        state = following(state, Input.CLIENT_SYN if client else Input.SERVER_SYN)
    if flags & tcp.FIN and _is_near(half, twin, segment.sequence):
        return following(state, Input.CLIENT_FIN if client else Input.SERVER_FIN)
    return following(state, Input.DATA) if payload else state


def _remember(
    half: Half,
    twin: Half,
    segment: tcp.Segment,
    payload: int,
    acknowledgment: int | None,
    before: State,
) -> None:
    flags = segment.flags
    if flags & tcp.SYN and before is State.INIT:
        # Nobody has acknowledged it yet; a reset may follow at once.
        twin.acknowledged = tcp.advance(segment.sequence, 1)
    length = payload + bool(flags & tcp.SYN) + bool(flags & tcp.FIN)
    end = tcp.advance(segment.sequence, length)
    acked = segment.acknowledgment if acknowledgment is None else acknowledgment
    if not flags & tcp.SYN and not is_believable(half, end, acked):
        return
    half.end = end
    if flags & tcp.ACK and acknowledgment is not None:
        half.acknowledged = acknowledgment


def is_believable(half: Half, end: int, acknowledged: int) -> bool:
    """Whether a segment that ends at `end` is near where its speaker is (RFC 5961)."""
    reach = 1 << half.flow.reach
    return (
        abs(tcp.distance(half.end, end)) <= reach
        and abs(tcp.distance(half.acknowledged, acknowledged)) <= reach
    )


def _is_exact(half: Half, twin: Half, segment: tcp.Segment) -> bool:
    """Whether a reset stands where its speaker must be: at the end of what was acknowledged to it
    (RFC 5961, 3.2), or of what it said, if that is near: what it said may have been said in its
    name. One that answers a SYN acknowledges it."""
    if half.flow.state is State.INIT:
        if half is half.flow.forth:
            return segment.sequence == half.end
        return bool(segment.flags & tcp.ACK) and segment.acknowledgment == twin.end
    if segment.sequence == half.end:
        return 0 <= tcp.distance(twin.acknowledged, half.end) <= NEAR
    return segment.sequence == twin.acknowledged


def _is_near(half: Half, twin: Half, sequence: int) -> bool:
    return sequence == half.end or 0 <= tcp.distance(twin.acknowledged, sequence) <= NEAR
