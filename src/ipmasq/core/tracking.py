"""Updates a flow by a segment in window (see `window`): its state, and the positions of its ends."""

from __future__ import annotations

from ipmasq.core import pickup
from ipmasq.core.flow import BASE_REACH, MOST_REACH, Flow, Half
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.offloading import Counters
from ipmasq.core.speaker import Speaker
from ipmasq.core.tcp_states import Input, State, following
from ipmasq.wire import tcp

CLOSED_BY = (
    frozenset((State.C_FIN, State.C_S_FIN)),
    frozenset((State.S_FIN, State.C_S_FIN)),
)
"""By speaker: the states in which it has sent a FIN."""


def track(
    manager: FlowManager, half: Half, segment: tcp.Segment, payload: int, acknowledgment: int
) -> None:
    """Record a segment in window. `payload` is in bytes; `acknowledgment` is in the other end's numbers."""
    flow = half.flow
    before, flags = flow.state, segment.flags
    if before is State.ESTABLISHED and flags & (tcp.SYN | tcp.FIN | tcp.RST | tcp.ACK) == tcp.ACK:
        half.advance((segment.sequence + payload) & 0xFFFFFFFF, acknowledgment)
        if flow.inspector is None:
            manager.judge_offloadable(flow)
        return
    if not flags & tcp.RST:
        _remember(half, segment, payload, acknowledgment, before)
    for event in _inputs(half, segment, payload, before):
        flow.state = following(flow.state, event)
    if before is State.TRANS and flow.state is not before and not manager.revive(flow):
        flow.state = before
    if flow.state is not before:
        if flow.state is State.C_S_FIN:
            manager.unlink(flow)
        manager.set_timer(flow)
    if flow.is_over:
        manager.finish(flow)
    manager.judge_offloadable(flow)


def report(manager: FlowManager, flow: Flow, counters: Counters, are_judged: bool) -> None:
    """Record counters of packets that were forwarded elsewhere; see `pickup.report`."""
    believed = pickup.report(manager.pickups, flow, counters, are_judged)
    manager.changes.reported(flow.id, flow.last_seen)
    if believed is not None:
        for each in believed:
            track(manager, *each, each.segment.acknowledgment)
        manager.judge_offloadable(flow)


def _inputs(half: Half, segment: tcp.Segment, payload: int, before: State) -> list[Input]:
    flags = segment.flags
    client = half.speaker is Speaker.CLIENT
    if flags & tcp.RST:
        return [Input.RESET]
    found = []
    if flags & tcp.SYN and client:
        found.append(Input.CLIENT_SYN)
    elif flags & tcp.ACK and before is State.INIT:
        # This is the server's SYN-ACK, or the client acknowledges the SYN of a simultaneous open.
        found.append(Input.SERVER_SYN)
    if flags & tcp.FIN:
        found.append(Input.CLIENT_FIN if client else Input.SERVER_FIN)
    elif payload:
        found.append(Input.DATA)
    return found


def _remember(
    half: Half, segment: tcp.Segment, payload: int, acknowledgment: int, before: State
) -> None:
    flags, twin = segment.flags, half.twin
    length = payload + bool(flags & tcp.SYN) + bool(flags & tcp.FIN)
    said = acknowledgment if flags & tcp.ACK else half.acknowledged
    end = tcp.advance(segment.sequence, length)
    if before is State.INIT:
        half.position = end << 32 | said
    else:
        _advance(half, end, said, before)
    if flags & tcp.SYN and before is State.INIT:
        # Nobody has acknowledged the SYN yet, but from here on it can be acknowledged. The client still has
        # to, so its number is one before that (`Flow.is_opening`).
        server = half is half.flow.reply
        twin.acknowledged = segment.sequence if server else tcp.advance(segment.sequence, 1)
        half.flow.reach = _reach(half, segment)


def _advance(half: Half, end: int, acknowledged: int, state: State) -> None:
    """Move the position of an end. A FIN is the last that its sender sends, and its acknowledgment the last of the other end:
    what is sent again after it, or comes late, moves neither back, however far behind it is."""
    known, last = half.end, half.twin.end
    has_acknowledged = state in CLOSED_BY[half.speaker.other] and half.acknowledged == last
    half.advance(end, acknowledged)
    if state in CLOSED_BY[half.speaker] and tcp.distance(half.end, known) > 0:
        half.end = known
    if has_acknowledged:
        half.acknowledged = last


def _reach(half: Half, segment: tcp.Segment) -> int:
    """Return the largest window that either end can offer (RFC 7323, 2.2), which is scaled only if both ends
    agree."""
    scale = tcp.option(segment.options, tcp.WINDOW_SCALE)
    if not scale:
        return BASE_REACH
    reach = min(BASE_REACH + scale[0], MOST_REACH)
    return reach if half is half.flow.original else max(reach, half.flow.reach)
