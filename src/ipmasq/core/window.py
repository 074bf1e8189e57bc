"""Decides whether a TCP segment is in window, that is, whether it can belong to its connection.

Anybody can forge a segment with the right addresses and ports, but who cannot see the connection does not
know its numbers (RFC 5961, RFC 7857 2.2). Only a segment in window changes what is remembered of a flow: its
state, the positions of its ends, its idle time. Any other segment is still forwarded, because the ends know
better and may have to answer it (a challenge acknowledgment, RFC 5961).

A segment is in window if

* it is an ordinary one, and both its end and its acknowledgment are within `reach` of the last ones of its
  sender: no receiver can offer a larger window (`Flow.reach`), and of an inspected connection less is in
  flight (`TcpRewriter.reach`), so neither moves farther in one step;
* it is a FIN that also stands near its sender's position, or near what was acknowledged to it, and acknowledges what is
  near its sender's last acknowledgment, or near the position of the other end;
* it is a SYN, and the connection is being opened; a SYN in reply must acknowledge the client's;
* it is a RST exactly at the connection's position (RFC 5961, 3.2).

The programs of the fast path use the same rule for ordinary segments (bpf/rewrite.h), so it depends on the
sender's own last numbers only.
"""

from __future__ import annotations

from ipmasq.core.flow import FAR, Half
from ipmasq.core.tcp_end import LARGEST_UNSCALED
from ipmasq.core.tcp_states import State
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, FIN, RST, SYN, Segment

NEAR = 1 << 20
"""Bytes around a position within which both numbers of a FIN are in window, however large windows are, since it is
the one ordinary segment that changes the state."""


def is_in_window(
    half: Half, segment: Segment, payload: int, acknowledgment: int, most: int | None = None
) -> bool:
    """Return whether a segment of `half` may change what is remembered. `payload` is in bytes;
    `acknowledgment` is in the numbers of the other end (a rewritten stream has other numbers on the wire).
    `most` is the reach in bytes of an inspected connection, if it has one of its own."""
    flags = segment.flags
    reach = 1 << half.flow.reach
    if most is not None and most < reach:
        reach = most
    if flags & (SYN | FIN | RST | ACK) == ACK and half.flow.state is not State.INIT:
        end = (segment.sequence + payload) & 0xFFFFFFFF
        return is_within_reach(half, end, acknowledgment, reach)
    if flags & RST:
        return _is_exact(half, segment, acknowledgment)
    if flags & SYN:
        return _opens(half, segment, acknowledgment, reach)
    if not flags & ACK:
        return False
    if half.flow.state is State.INIT:
        return _completes(half, segment, acknowledgment)
    end = tcp.advance(segment.sequence, payload + bool(flags & FIN))
    return is_within_reach(half, end, acknowledgment, reach) and (
        not flags & FIN or _may_close(half, segment.sequence, acknowledgment, min(reach, NEAR))
    )


def is_within_reach(half: Half, end: int, acknowledged: int, reach: int) -> bool:
    """Return whether both numbers of an ordinary segment (`end`: sequence and payload) are within `reach`
    bytes of its sender's last ones."""
    if not ((end << 32 | acknowledged) - half.position) & FAR:
        return True  # no reach is less
    return (
        abs(tcp.distance(half.end, end)) <= reach
        and abs(tcp.distance(half.acknowledged, acknowledged)) <= reach
    )


def _may_close(half: Half, sequence: int, acknowledgment: int, near: int) -> bool:
    """Return whether a FIN with these numbers may be its sender's."""
    twin = half.twin
    sent, received = (half.end, twin.acknowledged), (half.acknowledged, twin.end)
    return any(abs(tcp.distance(each, sequence)) <= near for each in sent) and any(
        abs(tcp.distance(each, acknowledgment)) <= near for each in received
    )


def _opens(half: Half, segment: Segment, acknowledgment: int, reach: int) -> bool:
    """Return whether a SYN opens the connection, or is a retransmission of the one that did."""
    if half.flow.state is not State.INIT:
        again = tcp.advance(segment.sequence, 1) == half.end
        return again and (
            not segment.flags & ACK or is_within_reach(half, half.end, acknowledgment, reach)
        )
    if not segment.flags & ACK:
        return True
    # It may acknowledge the other SYN, or data that came with it (RFC 7413).
    other = half.twin
    most = tcp.distance(half.acknowledged, other.end)
    return 0 <= tcp.distance(half.acknowledged, acknowledgment) <= max(0, most)


def _completes(half: Half, segment: Segment, acknowledgment: int) -> bool:
    """Return whether this completes a simultaneous open (RFC 9293, 3.5): both ends have sent a SYN, and this
    acknowledges the server's."""
    flow = half.flow
    return (
        half is flow.original
        and flow.reply.packets > 0
        and segment.sequence == half.end
        and acknowledgment == flow.reply.end
    )


def _is_exact(half: Half, segment: Segment, acknowledgment: int) -> bool:
    """Return whether a reset stands exactly where its sender must be: at the end of what was acknowledged to
    it (RFC 5961, 3.2), or of what it sent, if that is near, since a segment may have been forged in its name.
    One that answers a SYN acknowledges it."""
    twin = half.twin
    if half.flow.state is State.INIT:
        if half is half.flow.original:
            return segment.sequence == half.end
        return bool(segment.flags & ACK) and acknowledgment == twin.end
    if segment.sequence == half.end:
        # The end of a stream is accepted for a reset within an unscaled window of what was acknowledged.
        return 0 <= tcp.distance(twin.acknowledged, half.end) <= LARGEST_UNSCALED
    return segment.sequence == twin.acknowledged
