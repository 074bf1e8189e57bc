"""Manages the life cycle of flows: whether they are offloadable, linked or expired; and the helpers that
inspect them.

Everything that has a deadline or is reported to listeners goes through here. `Engine` brings the packets, and
`opening` opens the flows.
"""

from __future__ import annotations

from math import inf

from ipmasq.core import events
from ipmasq.core.active import ActivePolicy
from ipmasq.core.admission import ActiveTrigger, Admission
from ipmasq.core.announcements import Announcements
from ipmasq.core.budget import Memory, Rate
from ipmasq.core.changes import Changes, Kind
from ipmasq.core.datagram_inspector import DatagramInspector
from ipmasq.core.ends import Ends
from ipmasq.core.event_queue import EventQueue, said
from ipmasq.core.events import Event
from ipmasq.core.expectations import Expectation, ExpectationTable
from ipmasq.core.flow import Flow
from ipmasq.core.helping import Binding, binding
from ipmasq.core.identification import Identifications
from ipmasq.core.inspector import Inspector, NoMemoryError
from ipmasq.core.offloading import Offloading
from ipmasq.core.pickup import Pickups
from ipmasq.core.policy import Policy
from ipmasq.core.ports import Chance
from ipmasq.core.reasons import Reason
from ipmasq.core.reassembly import Datagram, Reassembly
from ipmasq.core.refusals import Refusals
from ipmasq.core.registered import Registered, RegisteredHelpers
from ipmasq.core.reopening import Reopenings
from ipmasq.core.shortage import Shortage
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.table import Table
from ipmasq.core.tcp_inspector import COST, TcpInspector, TooLateError
from ipmasq.core.tcp_states import State
from ipmasq.core.timed import Timed, order
from ipmasq.core.timers import SOON, Timers
from ipmasq.core.unconfirmed import Unconfirmed
from ipmasq.core.unrestored import Unrestored
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address
from ipmasq.wire.packet import Packet

_CAN_ANNOUNCE = frozenset((State.INIT, State.ESTABLISHED, State.ACTIVE))
"""Not a TCP stream that is closing."""


class FlowManager:
    def __init__(self, policy: Policy, chance: Chance, now: float) -> None:
        self.active = ActivePolicy(policy)
        self.now = now
        self.counts = [0] * (max(Reason) + 1)
        self.changes = changes = Changes()
        self.table = Table(self.active, chance, changes)
        self.expectations = ExpectationTable(self.table, changes)
        self.admission = Admission(self.active, self.table, self.expectations, lambda: self.now)
        self.registered = RegisteredHelpers(policy.helpers)
        self.reassembly = Reassembly(policy.limits.fragmented_datagrams, changes)
        self.timers: Timers[Timed] = Timers(order)
        limits = policy.limits
        self.memory = Memory(limits.stream_memory, limits.stream_memory_per_host)
        self.inspected = Memory(limits.stream_memory, limits.stream_memory_per_host)
        """What inspected connections take themselves, as much again as what is kept of their streams: else
        strangers could use that up by SYNs alone."""
        self.refusals = Refusals(policy, chance)
        self.identifications = Identifications(chance)
        self.work = Rate(limits.lines_per_host, limits.lines)
        self._outgoing: list[tuple[Packet, Side]] = []
        self.unconfirmed = Unconfirmed(changes)
        self.unconfirmed_inspected = Unconfirmed(changes)
        """The unconfirmed flows that a helper inspects."""
        self.offloading = Offloading()
        self.events = EventQueue()
        self.reopenings = Reopenings()
        self.pickups = Pickups()
        self.shortage = Shortage(self.table, self.emit)
        self.announcements = Announcements(
            self.table, self.expectations, self.timers, self.shortage, self.emit, lambda: self.now
        )
        self.opened = 0
        """The number of flows that were opened, which is also that of the latest one."""
        self.swept: list[int] = []
        """The flows that are visited in slices; see `records`."""

    @property
    def policy(self) -> Policy:
        return self.active.policy

    def follow(self, policy: Policy) -> None:
        """Replace the policy."""
        self.active.policy, limits = policy, policy.limits
        self.reassembly.most = limits.fragmented_datagrams
        for memory in (self.memory, self.inspected):
            memory.total, memory.per_host = limits.stream_memory, limits.stream_memory_per_host
        self.work.total, self.work.per_host = limits.lines, limits.lines_per_host
        self.refusals.follow(policy)

    # -- the life cycle of a flow

    def evictable(self, lacking: Reason, host: Address) -> Flow | None:
        """Return the flow that is evicted to make room for one more flow of a host, or None: the oldest
        unconfirmed flow of this host or, if the table is full, of the host with the most of them."""
        if lacking is not Reason.TABLE_FULL:
            return self.unconfirmed.oldest(host, self.offloading.sync)
        return (
            self.table.oldest_over()
            or self.unconfirmed.oldest(host, self.offloading.sync)
            or self.unconfirmed.oldest_of_most(self.offloading.sync)
        )

    def due(self, flow: Flow) -> float:
        """Return when a flow is to be examined."""
        timeouts = self.policy.timeouts
        deadline = flow.deadline(timeouts)
        if deadline == inf:
            return self.now + timeouts.tcp_established
        if flow.state is State.ESTABLISHED:
            # A flow that is being opened may be established by then, and have less time.
            return min(deadline, flow.last_seen + timeouts.tcp_established)
        return deadline

    def set_timer(self, flow: Flow) -> None:
        self.timers.set(flow, self.due(flow))
        if self.changes.is_kept:
            self.changes.flows.add(flow.id)

    def judge_offloadable(self, flow: Flow) -> None:
        """Update whether the flow's ordinary packets need no decision, and report a change."""
        if flow.protocol == ipv4.TCP:
            ready = flow.state is State.ESTABLISHED and flow.id not in self.pickups
            offloadable = ready and flow.inspector is None
        else:
            answered = bool(flow.original.packets and flow.reply.packets)
            offloadable = answered and flow.inspector is None
        if offloadable is not flow.offloadable:
            flow.offloadable = offloadable
            self.changes.flow(flow.id)
            self.offloading.command(flow)
            kind = events.FlowOffloadable if offloadable else events.FlowNotOffloadable
            self.emit(kind(self.now, flow.id))

    def reopen(self, flow: Flow) -> None:
        """TCP: another connection takes the place of one that both its ends have lost; see `reopening`. It
        begins with the server's SYN."""
        self._forget_helper(flow, Reason.REPLACED)
        flow.state = State.INIT
        flow.original.position = flow.reply.position = 0
        self.pickups.discard(flow.id)
        self.judge_offloadable(flow)
        self.set_timer(flow)
        if flow.opened_by is Side.OUTSIDE:
            self.unconfirmed.add(flow)
        self.bind(flow, flow.ends)

    def _forget_helper(self, flow: Flow, reason: Reason) -> None:
        self.release(flow, reason)
        self.announcements.end_all(flow, Reason.MASTER_GONE)
        if flow.inspector is not None:
            self._drop_inspector(flow, flow.inspector)

    def end(self, flow: Flow, reason: Reason) -> None:
        """End a flow."""
        self.offloading.sync(flow)
        self._forget_helper(flow, Reason.MASTER_GONE)
        self.reopenings.discard(flow.id)
        self.pickups.discard(flow.id)
        self.unlink(flow)
        self.timers.cancel(flow)
        self.unconfirmed.discard(flow)
        self.table.remove(flow)
        self.offloading.withdraw(flow)
        out, back = (
            (flow.original, flow.reply)
            if flow.opened_by is Side.INSIDE
            else (flow.reply, flow.original)
        )
        self.emit(
            events.FlowClosed(
                self.now, flow.id, reason, out.packets, out.bytes, back.packets, back.bytes
            )
        )

    def unlink(self, flow: Flow) -> None:
        """Give the control flow of an ended data flow its full idle time again."""
        number, flow.master = flow.master, None
        master = None if number is None else self.table.flow(number)
        if master is None:
            return
        master.links -= 1
        master.last_seen = self.now
        self.set_timer(master)

    # -- time

    def tick(self, now: float) -> None:
        """End everything that has expired."""
        self.now = now
        for thing in self.timers.due(now):
            try:
                self._is_due(thing)
            except Exception as error:
                self.packet_failed(Side.INSIDE, b"", error)

    def _is_due(self, thing: Timed) -> None:
        if isinstance(thing, Flow):
            self._flow_is_due(thing)
        elif isinstance(thing, Expectation):
            self.announcements.end(thing, Reason.IDLE)
        elif isinstance(thing, ActiveTrigger):
            if self.admission.active_triggers.get(thing.trigger.name) is thing:
                del self.admission.active_triggers[thing.trigger.name]
                self.changes.other(Kind.TRIGGER, thing.trigger.name)
        elif isinstance(thing, Unrestored):
            thing.restore_due(self.now, self.timers)
        elif isinstance(thing, Datagram):
            if self.reassembly.forget(thing):
                self.counts[Reason.FRAGMENT_TIMEOUT] += 1
        else:
            self._expire(thing)

    def _flow_is_due(self, flow: Flow) -> None:
        self.offloading.sync(flow)
        deadline = flow.deadline(self.policy.timeouts)
        if deadline > self.now:
            if deadline == inf:
                self._keep_alive(flow)
            self.set_timer(flow)
            return
        ended = {State.C_S_FIN: Reason.ENDED, State.TRANS: Reason.RESET}
        self.end(flow, ended.get(flow.state, Reason.IDLE))

    def _keep_alive(self, flow: Flow) -> None:
        if flow.inspector is not None:
            flow.inspector.registered.kept_alive += 1
        self.emit(events.KeptAlive(self.now, flow.id, flow.links))

    # -- helpers and their requests (`attachment.HelperServices`)

    def bind(self, flow: Flow, ends: Ends) -> None:
        """Bind the helper for this flow, if there is one."""
        if flow.protocol not in self.registered.protocols or flow.state not in _CAN_ANNOUNCE:
            return
        found = binding(self.registered, flow.protocol, *ends)
        if found is not None:
            self._attach(flow, found)

    def _attach(self, flow: Flow, found: Binding) -> None:
        helper = found.helper
        try:
            inspector = self._inspector(flow, helper)
        except TooLateError:
            return
        except Exception as error:
            helper.failed += 1
            self._report_failure(flow, helper, error)
            return
        if inspector is None:
            return  # it is tried again with the next segment, if that may help
        flow.inspector = inspector
        self.changes.inspected(flow.id)
        self.wait_for(inspector)
        helper.bound += 1
        helper.watching += 1
        self.emit(events.HelperBound(self.now, flow.id, helper.use.name, found.port, found.by))
        self.judge_offloadable(flow)

    def _inspector(self, flow: Flow, helper: Registered) -> Inspector | None:
        """Return the flow's inspector with this helper, a new one or the one that it has; None if that is not
        possible now. Raises TooLateError, NoMemoryError, or whatever the helper's constructor raises."""
        if flow.inspector is not None:
            self.changes.inspected(flow.id)  # it may wait for the helper now
            return flow.inspector if flow.inspector.attach(helper) else None
        if flow.original.packets:
            self.offloading.sync(flow)  # bytes in flight now pass without inspection
        if not self._can_inspect(flow.payer):
            raise NoMemoryError
        made: Inspector
        if flow.protocol == ipv4.TCP:
            limit = self.policy.limits.stream_bytes
            made = TcpInspector.begin(self.announcements, self, flow, helper, limit)
        else:
            made = DatagramInspector.begin(self.announcements, self, flow, helper)
        self.inspected.change(flow.payer, COST)
        if flow.opened_by is Side.OUTSIDE:
            self.unconfirmed_inspected.add(flow)
        return made

    def _can_inspect(self, payer: Address) -> bool:
        """Return whether there is memory for one more inspected connection of an address. If all hosts together
        have used it up, unconfirmed flows that outside hosts have opened are evicted."""
        while not self.inspected.has_room(payer, COST):
            if self.inspected.used_by(payer) + COST > self.inspected.per_host:
                return False
            oldest = self.unconfirmed_inspected.oldest_of_most(self.offloading.sync)
            if oldest is None:
                return False
            self.end(oldest, Reason.REPLACED)
        return True

    def _report_failure(self, flow: Flow, helper: Registered, error: Exception) -> None:
        name, text = helper.use.name, said(error)
        self.emit(events.HelperFailed(self.now, flow.id, name, Speaker.CLIENT, b"", text))

    def wait_for(self, inspector: Inspector) -> None:
        """Set the timer for what the inspector will send by itself."""
        if inspector.deadline < inf:
            self.timers.set(inspector, max(inspector.deadline, self.now), SOON)
        self.changes.inspected(inspector.flow_id)

    def _expire(self, inspector: Inspector) -> None:
        """Forward what is withheld, and retransmit what was acknowledged early."""
        flow = self.table.flows.get(inspector.flow_id)
        if flow is None or flow.inspector is not inspector:
            return
        self._outgoing += inspector.expire(self.now)
        self.changes.inspected(flow.id)
        self.wait_for(inspector)

    def take_outgoing(self) -> list[tuple[Packet, Side]]:
        """Return the packets that the gateway sends by itself; see `Engine.outgoing`."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def release(self, flow: Flow, reason: Reason) -> None:
        """Stop the helper's inspection; earlier changes remain in effect."""
        inspector = flow.inspector
        if inspector is None:
            return
        inspector.is_awaited = False
        self.changes.inspected(flow.id)
        if not inspector.is_inspecting:
            return
        inspector.registered.watching -= 1
        inspector.release()
        self.wait_for(inspector)
        name = inspector.registered.use.name
        self.emit(events.HelperReleased(self.now, flow.id, name, reason))

    def leave(self, flow: Flow, inspector: Inspector) -> None:
        """Continue without a helper. A connection that was never shifted does not need an inspector either."""
        awaited = inspector.is_awaited
        self.release(flow, Reason.HELPER_STOPPED)
        if awaited:
            self.bind(flow, flow.ends)
        elif inspector.is_plain:
            self._drop_inspector(flow, inspector)
            self.judge_offloadable(flow)

    def _drop_inspector(self, flow: Flow, inspector: Inspector) -> None:
        self.timers.cancel(inspector)
        inspector.close()
        self.inspected.change(flow.payer, -COST)
        self.unconfirmed_inspected.discard(flow)
        self.changes.inspected(flow.id)
        flow.inspector = None  # break reference cycles, as the table does, so that the garbage collector is not needed

    def renew(self, flow: Flow, inspector: Inspector) -> None:
        """Replace the helper by its newer code."""
        self.changes.inspected(flow.id)
        try:
            inspector.renew()
        except Exception as error:
            self.release(flow, Reason.HELPER_UNLOADED)
            self._report_failure(flow, inspector.registered, error)

    def finish(self, flow: Flow) -> None:
        """Free the ports of a connection that is over, though late packets may arrive, and end its
        expectations."""
        if flow.id not in self.table.over:
            self.emit(events.FlowFinished(self.now, flow.id))
        self.table.finish(flow)
        self.reopenings.discard(flow.id)
        self.announcements.end_all(flow, Reason.MASTER_GONE)

    def revive(self, flow: Flow) -> bool:
        """Let a connection continue after a reset. Return False if it may not; see `Table.revive`."""
        revived = self.table.revive(flow)
        if revived:
            self.emit(events.FlowRevived(self.now, flow.id))
        return revived

    # -- events

    def emit(self, event: Event) -> None:
        """Report an event."""
        self.events.add(event)

    def packet_failed(self, side: Side, data: bytes, error: Exception) -> None:
        """Report that handling a packet raised. `data` is its first bytes."""
        self.events.add_failure(self.now, side, data, error)

    def drain(self) -> list[Event]:
        """Return the events since the last call."""
        return self.events.drain()
