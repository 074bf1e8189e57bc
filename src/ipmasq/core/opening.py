"""Opening a flow takes three steps: decide, construct, enter.

*Deciding* is in `admission` and changes nothing. *Constructing* makes a flow from a decision and the mapping
that it needs; no other part knows of it yet. *Entering* puts it into the table and then sets timers, links it,
reports events and binds the helper.

`open_flow` takes all three steps for the first packet of a flow. A flow that was opened elsewhere by the same
rules, with a public port that was lent for that purpose, is *adopted*: it takes the same steps with the mapping
that it already has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ipmasq.core import events
from ipmasq.core.admission import ActiveTrigger, Decision
from ipmasq.core.changes import Kind
from ipmasq.core.ends import End, Ends, endpoints
from ipmasq.core.flow import Flow
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.mapping import Mapping
from ipmasq.core.ports import Block
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.tcp_states import OVER
from ipmasq.wire.addresses import Address, Endpoint

TRIES = 8
"""Fresh public ports that are tried for a flow whose five-tuple is taken."""


class FirstPacket(NamedTuple):
    """The addresses of a flow's first packet, and the side where it came in."""

    protocol: int
    source: Endpoint
    destination: Endpoint
    side: Side


def open_flow(
    manager: FlowManager,
    first: FirstPacket,
    opens: bool = True,
    intact: Callable[[], bool] = lambda: True,
) -> Flow | Reason:
    """Return the flow that a packet without a flow opens, or why it is dropped. `opens`: whether the packet
    may open one. `intact` verifies its checksum, and is called only if the result matters."""
    decision = manager.admission.decide(*first)
    if isinstance(decision, Reason):
        return decision
    if not opens:
        held = manager.admission.find_socket(*first[:3])
        return Reason.HOST if held else Reason.NO_FLOW
    if decision.expectation and not intact():
        # An expectation is met once. A damaged packet would use it up.
        return Reason.BAD_CHECKSUM
    lacking = _make_room(manager, first, decision)
    if lacking is not None:
        return lacking
    if decision.masquerade:
        return _masquerade(manager, first, decision)
    return _construct_and_enter(manager, first, decision, None) or Reason.NO_PORTS


def adopt(
    manager: FlowManager, first: FirstPacket, public: Endpoint, lent: Block[Mapping]
) -> Flow | Reason:
    """Return a flow that was opened elsewhere with a public endpoint of this block, or why it cannot be
    adopted: the policy does not allow it, or its host has reached a limit. In that case the port stays in the
    block."""
    decision = manager.admission.decide(*first)
    if isinstance(decision, Reason):
        return decision
    if not decision.masquerade:
        return Reason.NO_PORTS
    lacking = _make_room(manager, first, decision)
    if lacking is not None:
        return lacking
    mapping = manager.table.mappings.map_at(*first[:2], public, first.destination, lent)
    if mapping is None:
        return Reason.NO_PORTS
    return _construct_and_enter(manager, first, decision, mapping) or Reason.NO_PORTS


def _construct_and_enter(
    manager: FlowManager,
    first: FirstPacket,
    decision: Decision,
    mapping: Mapping | None,
    replaces: bool = True,
) -> Flow | None:
    flow, ends = construct(manager, first, decision, mapping)
    return flow if enter(manager, flow, ends, decision, replaces) else None


def construct(
    manager: FlowManager, first: FirstPacket, decision: Decision, mapping: Mapping | None
) -> tuple[Flow, Ends]:
    """Return the flow of a decision, and its ends. Nothing else changes."""
    protocol, source, destination, side = first
    client = End(source, mapping.public if mapping else source)
    ends = Ends(client, End(decision.server, destination))
    flow = Flow(manager.opened + 1, protocol, ends, (side, decision.side), manager.now)
    flow.mapping = mapping
    flow.server_mapping = decision.server_mapping
    flow.origin = decision.origin
    return flow, ends


def enter(
    manager: FlowManager, flow: Flow, ends: Ends, decision: Decision, replaces: bool = True
) -> bool:
    """Make the flow live. Return False if its five-tuple is taken; then the flow and a mapping of its own are
    discarded. `replaces`: a connection with the same five-tuple that is over is evicted."""
    if not manager.table.add(flow) and not _add_instead(manager, flow, replaces):
        flow.break_cycle()
        if flow.mapping is not None:
            manager.table.mappings.drop_unused(flow.mapping)
        return False
    manager.opened = flow.id
    if decision.expectation:
        manager.announcements.meet(decision.expectation, flow)
    if flow.opened_by is Side.OUTSIDE or _answers_a_stranger(manager, flow):
        manager.unconfirmed.add(flow)
    if decision.trigger:
        _set_off(manager, flow, decision)
    manager.set_timer(flow)
    manager.offloading.command(flow)
    if flow.master is not None:
        manager.offloading.relate(flow, manager.table.flows[flow.master])
    _tell_opened(manager, flow, ends)
    if not decision.expectation:
        manager.bind(flow, ends)
    return True


def _answers_a_stranger(manager: FlowManager, flow: Flow) -> bool:
    """Return whether an outside host, which may have forged its address, has caused a flow from inside."""
    if flow.master is not None:
        return manager.table.flows[flow.master].opened_by is Side.OUTSIDE
    return manager.unconfirmed.is_answer(flow)


def known_at(decision: Decision) -> Address | None:
    """Return the public address by which the other end knows the host that meets an expectation: that of the
    control flow, which need not be the one of the host's own flows."""
    expectation = decision.expectation
    if expectation is None:
        return None
    me = expectation.flow.end(expectation.speaker.other)
    return me.translated.address if me.is_masqueraded else None


# -- room for a flow, and a public port


def _make_room(manager: FlowManager, first: FirstPacket, decision: Decision) -> Reason | None:
    """Make room for one more flow, or return why there is none."""
    inside = first.side is Side.INSIDE
    host = first.source.address if inside else decision.server.address
    while (lacking := manager.table.lacks_room(host)) is not None:
        evictable = manager.evictable(lacking, host)
        if evictable is None:
            return _refused(manager, lacking, host, first.protocol)
        manager.end(evictable, Reason.REPLACED)
    return None


def _masquerade(manager: FlowManager, first: FirstPacket, decision: Decision) -> Flow | Reason:
    protocol, source, destination, _ = first
    server = decision.side, decision.server
    for left in reversed(range(TRIES)):
        mapping = manager.table.mappings.map(
            protocol, source, destination, known_at=known_at(decision), server=server
        )
        if isinstance(mapping, Reason):
            if (answer := evictable_for_port(manager, mapping, protocol, source.address)) is None:
                return _refused(manager, mapping, source.address, protocol)
            manager.end(answer, Reason.REPLACED)
            continue
        # A port that has become free may have a connection that is over with the same remote endpoint. If all
        # ports that were tried have one, it is evicted, as the kernel does when ports are short.
        replaces = not left or mapping.shared
        flow = _construct_and_enter(manager, first, decision, mapping, replaces)
        if flow is not None:
            return flow
    return _refused(manager, Reason.NO_PORTS, source.address, protocol)


def evictable_for_port(
    manager: FlowManager, lacking: Reason, protocol: int, host: Address
) -> Flow | None:
    """Return the flow that is evicted for its public port: the oldest answer to a stranger who has not sent
    anything since, of the host that has reached its limit or, if no port is free, of the host with the most."""
    known, sync = manager.unconfirmed, manager.offloading.sync
    if lacking is Reason.PORT_LIMIT:
        return known.oldest_answer(protocol, host, sync)
    return known.oldest_answer_of_most(protocol, sync) if manager.policy.public else None


def _refused(manager: FlowManager, reason: Reason, host: Address, protocol: int) -> Reason:
    manager.shortage.refused(reason, host, protocol, manager.now)
    return reason


def _add_instead(manager: FlowManager, flow: Flow, replaces: bool) -> bool:
    """Add a flow whose five-tuple is taken, if the connection that has it may be evicted."""
    mapping = flow.mapping
    if mapping is None:
        _evict_over(manager, flow)
    elif replaces or mapping.flows:
        mapping.expectations += 1  # it stays, though its last flow may be evicted
        _evict_over(manager, flow)
        mapping.expectations -= 1
    return manager.table.add(flow)


def _evict_over(manager: FlowManager, flow: Flow) -> None:
    """Evict connections that are over and have the flow's five-tuple at the server. A client may reuse its
    port for another public port that leads to the same server, where its earlier connection would be in the
    way. A connection of another client with the same public port stays until both ends have acknowledged its
    end."""
    before = manager.table.find(flow.reply.side, flow.protocol, flow.reply.match)
    if before is None or before is not before.flow.reply:
        return
    own = before.flow.state in OVER and before.flow.client.real == flow.client.real
    if own or before.flow.is_over:
        manager.end(before.flow, Reason.REPLACED)


# -- what follows from a new flow


def _set_off(manager: FlowManager, flow: Flow, decision: Decision) -> None:
    """Let the trigger admit flows to this inside host for its life, counted from now."""
    trigger = decision.trigger
    assert trigger is not None
    inside = flow.client if decision.side is Side.OUTSIDE else flow.server
    host, active = inside.real.address, manager.admission.active_triggers
    if trigger.name not in active:
        active[trigger.name] = ActiveTrigger(trigger, host, 0)
    if active[trigger.name].host == host:
        active[trigger.name].until = manager.now + trigger.life
        manager.timers.set(active[trigger.name], active[trigger.name].until)
        manager.changes.other(Kind.TRIGGER, trigger.name)


def _tell_opened(manager: FlowManager, flow: Flow, ends: Ends) -> None:
    protocol, (opened_by, _), _ = flow.kind
    manager.emit(
        events.FlowOpened(
            manager.now,
            flow.id,
            protocol,
            opened_by,
            *endpoints(ends, opened_by),
            str(flow.origin),
            flow.master,
        )
    )
    manager.shortage.opened(flow, manager.now)
