"""Whether a TCP segment can belong to its connection: the one place that decides.

Anybody can write a segment with the right addresses and ports; who cannot see the connection does not know its
numbers (RFC 5961, RFC 7857 2.2). Only a believable segment moves anything that is remembered of a flow: its
state, where its ends are in their streams, its idle time. Any other is still forwarded, because the ends judge
by better knowledge and may have to answer it (a challenge acknowledgment, RFC 5961).

A segment is believable if

* it is an ordinary one, and both its end and its acknowledgment are within `reach` of those that its speaker
  last had: no receiver can offer a larger window, so nothing moves farther in one step;
* it is a FIN, and besides stands where its speaker, or what was acknowledged to it, is;
* it is a SYN, and the connection is being opened; a SYN that answers must acknowledge the client's;
* it is a RST at exactly the place where the connection is (RFC 5961, 3.2).

The programs of the fast path decide about ordinary segments by the same rule (bpf/rewrite.h), so they know no
more than the speaker's own last numbers.
"""

from __future__ import annotations

from ipmasq.core.flow import FAR, Half
from ipmasq.core.tcp_states import State
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, FIN, RST, SYN, Segment

NEAR = 1 << 20
"""Bytes around its speaker's place within which a FIN is believed, however large windows are: it is the one
ordinary segment that changes a state."""

LARGEST_UNSCALED = 0xFFFF
"""Bytes beyond what was acknowledged within which the end of a stream is believed for a reset: a window
that is not scaled (RFC 9293, 3.1)."""


def is_believable(half: Half, segment: Segment, payload: int, acknowledgment: int) -> bool:
    """Whether a segment of `half` may change what is remembered. `payload` in bytes; `acknowledgment` in
    the sequence numbers of the other end (a rewritten stream has others on the wire)."""
    flags = segment.flags
    if flags & (SYN | FIN | RST | ACK) == ACK and half.flow.state is not State.INIT:
        return is_near(half, (segment.sequence + payload) & 0xFFFFFFFF, acknowledgment)
    if flags & RST:
        return _is_exact(half, segment, acknowledgment)
    if flags & SYN:
        return _opens(half, segment, acknowledgment)
    if not flags & ACK:
        return False
    if half.flow.state is State.INIT:
        return _completes(half, segment, acknowledgment)
    end = tcp.advance(segment.sequence, payload + bool(flags & FIN))
    return is_near(half, end, acknowledgment) and (not flags & FIN or _may_close(half, segment))


def is_near(half: Half, end: int, acknowledged: int) -> bool:
    """Whether both numbers of an ordinary segment (`end`: sequence and payload) are within reach of the
    last ones that its speaker had."""
    if not ((end << 32 | acknowledged) - half.position) & FAR:
        return True  # no reach is less
    reach = 1 << half.flow.reach
    return (
        abs(tcp.distance(half.end, end)) <= reach
        and abs(tcp.distance(half.acknowledged, acknowledged)) <= reach
    )


def _may_close(half: Half, segment: Segment) -> bool:
    near = min(1 << half.flow.reach, NEAR)
    positions = (half.end, half.twin.acknowledged)
    return any(abs(tcp.distance(position, segment.sequence)) <= near for position in positions)


def _opens(half: Half, segment: Segment, acknowledgment: int) -> bool:
    """A SYN is believed while its connection is opened, or as a repetition of the one that opened it."""
    if half.flow.state is not State.INIT:
        again = tcp.advance(segment.sequence, 1) == half.end
        return again and (not segment.flags & ACK or is_near(half, half.end, acknowledgment))
    if not segment.flags & ACK:
        return True
    # What may be acknowledged: the other SYN, or data that came with it (RFC 7413).
    other = half.twin
    most = tcp.distance(half.acknowledged, other.end)
    return 0 <= tcp.distance(half.acknowledged, acknowledgment) <= max(0, most)


def _completes(half: Half, segment: Segment, acknowledgment: int) -> bool:
    """Both ends have sent a SYN at the same time (RFC 9293, 3.5), and this acknowledges the server's."""
    flow = half.flow
    return (
        half is flow.original
        and flow.reply.packets > 0
        and segment.sequence == half.end
        and acknowledgment == flow.reply.end
    )


def _is_exact(half: Half, segment: Segment, acknowledgment: int) -> bool:
    """Whether a reset stands where its speaker must be: at the end of what was acknowledged to it
    (RFC 5961, 3.2), or of what it said, if that is near: what it said may have been said in its
    name. One that answers a SYN acknowledges it."""
    twin = half.twin
    if half.flow.state is State.INIT:
        if half is half.flow.original:
            return segment.sequence == half.end
        return bool(segment.flags & ACK) and acknowledgment == twin.end
    if segment.sequence == half.end:
        return 0 <= tcp.distance(twin.acknowledged, half.end) <= LARGEST_UNSCALED
    return segment.sequence == twin.acknowledged
