"""The life of flows: opened, settled, linked, forgotten; and the helpers that watch them.

Everything that has a deadline or is told to listeners goes through here. `Engine` brings the packets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

from ipmasq.core import events
from ipmasq.core.admission import Admission, Decision, Opening
from ipmasq.core.budget import Account, Memory, Rate
from ipmasq.core.events import Event
from ipmasq.core.expectations import Expectation, ExpectationTable
from ipmasq.core.flow import End, Flow, Mapping
from ipmasq.core.helper import Speaker
from ipmasq.core.helping import Attachment, Binding, Registered, binding
from ipmasq.core.offloading import CounterSource
from ipmasq.core.policy import Policy
from ipmasq.core.ports import Chance
from ipmasq.core.reasons import Reason
from ipmasq.core.reassembly import Datagram, Reassembly
from ipmasq.core.refusals import Refusals
from ipmasq.core.reopening import Reopenings
from ipmasq.core.shortage import Shortage
from ipmasq.core.side import Side
from ipmasq.core.table import Table
from ipmasq.core.tcp_rewriter import COST, TcpRewriter
from ipmasq.core.tcp_states import OVER, State
from ipmasq.core.timers import SOON, Timers
from ipmasq.core.translate import compose
from ipmasq.core.unconfirmed import Unconfirmed
from ipmasq.wire import ipv4, tcp
from ipmasq.wire.addresses import Address, Endpoint
from ipmasq.wire.packet import Packet

MOST_EVENTS = 1 << 17
"""Events kept for a listener that does not come; the oldest half is lost beyond that, and counted."""

TRIES = 8
"""Fresh public ports that are tried for a flow whose five-tuple is taken."""

FAILED_BYTES = 128
"""Bytes of a packet that could not be handled that an event shows."""

BETWEEN_FAILURES = 1.0
"""Seconds between two events about such packets."""

NO_MEMORY = "there is no memory for one more inspected connection (limits.stream_memory, stream_memory_per_host)"

PRESSING = events.FlowOffloadable | events.FlowNotOffloadable | events.FlowClosed
"""What a fast path must hear of before another packet leaves (see `ipmasq.offload`)."""


class FlowManager:
    def __init__(self, policy: Policy, chance: Chance, now: float) -> None:
        self.policy = policy
        self.now = now
        self.counts = [0] * (max(Reason) + 1)
        self.lost_events = 0
        self._failures = 0
        self._failures_told = -inf
        self.table = Table(policy, chance)
        self.expectations = ExpectationTable(self.table)
        self.admission = Admission(policy, self.table, self.expectations)
        self.registered = {use.name: Registered(use) for use in policy.helpers}
        self.reassembly = Reassembly(policy.limits.fragmented_datagrams)
        self.timers: Timers[Flow | Expectation | Opening | Datagram | Attachment] = Timers()
        limits = policy.limits
        self.memory = Memory(limits.stream_memory, limits.stream_memory_per_host)
        self.inspected = Memory(limits.stream_memory, limits.stream_memory_per_host)
        """What inspected connections take themselves, as much again as what is kept of their streams: else
        strangers could use that up by SYNs alone."""
        self.refusals = Refusals(policy, chance)
        self.work = Rate(limits.lines_per_host, limits.lines)
        self._outgoing: list[tuple[Packet, Side]] = []
        self.unconfirmed = Unconfirmed()
        self._unconfirmed_inspected = Unconfirmed()
        """Those of them that a helper inspects."""
        self.awaiting_attach: set[int] = set()
        """Flows that a helper waits for a quiet moment to begin to watch."""
        self.sync_counters: CounterSource | None = None
        """Brings what a fast path has seen of a flow (see `ipmasq.core.offloading`)."""
        self.pressing = False
        self._events: list[Event] = []
        self.reopenings = Reopenings()
        self.shortage = Shortage(self.table, self.emit)
        self._ids = 0

    # -- the life of a flow

    def open(
        self,
        protocol: int,
        source: Endpoint,
        destination: Endpoint,
        side: Side,
        opens: bool = True,
        intact: Callable[[], bool] = lambda: True,
    ) -> Flow | Reason:
        """The flow that a packet without one opens. `opens`: whether it is one that may. `intact` says whether
        its checksum is right, and is called only where that decides."""
        decision = self.admission.decide(protocol, source, destination, side)
        if isinstance(decision, Reason):
            return decision
        if not opens:
            held = self.admission.holds(protocol, source, destination)
            return Reason.HOST if held else Reason.NO_FLOW
        if decision.expectation and not intact():
            # It is met once. A damaged packet would use it up, perhaps with ports that nobody has.
            return Reason.BAD_CHECKSUM
        host = source.address if side is Side.INSIDE else decision.server.address
        while (lacking := self.table.lacks_room(host)) is not None:
            giving_way = self.giving_way(lacking, host)
            if giving_way is None:
                return self._refused(lacking, host, protocol)
            self.end(giving_way, Reason.REPLACED)
        if not decision.masquerade:
            return self._enter(protocol, source, destination, side, decision, None)
        for left in reversed(range(TRIES)):
            mapping = self.table.map(
                protocol,
                source,
                destination,
                known_at=known_at(decision),
                server=(decision.side, decision.server),
            )
            if isinstance(mapping, Reason):
                return self._refused(mapping, host, protocol)
            # A port that has become free may have a connection that is over with the same remote end.
            # If all that were tried have one, it gives way: as the kernel does, when ports are short.
            flow = self._enter(
                protocol,
                source,
                destination,
                side,
                decision,
                mapping,
                replaces=not left or mapping.shared,
            )
            if isinstance(flow, Flow):
                return flow
        return self._refused(Reason.NO_PORTS, host, protocol)

    def _refused(self, reason: Reason, host: Address, protocol: int) -> Reason:
        self.shortage.refused(reason, host, protocol, self.now)
        return reason

    def _enter(
        self,
        protocol: int,
        source: Endpoint,
        destination: Endpoint,
        side: Side,
        decision: Decision,
        mapping: Mapping | None,
        replaces: bool = True,
    ) -> Flow | Reason:
        """`replaces`: a connection that is over and has the same five-tuple gives way."""
        client = End(source, mapping.public if mapping else source)
        server = End(decision.server, destination)
        flow = Flow(self._ids + 1, protocol, client, server, (side, decision.side), self.now)
        if mapping is not None:
            mapping.expectations += 1  # it stays, though the last flow that it has may give way
        if replaces or (mapping is not None and mapping.flows):
            self._make_way(flow)
        if mapping is not None:
            mapping.expectations -= 1
        flow.mapping = mapping
        flow.server_mapping = decision.server_mapping
        flow.origin = decision.origin
        if not self.table.add(flow):
            flow.let_go()
            if mapping:
                self.table.drop_unused(mapping)
            return Reason.NO_PORTS
        self._ids += 1
        if side is Side.OUTSIDE:
            self.unconfirmed.add(flow)
        if decision.expectation:
            self._meet(decision.expectation, flow)
        if decision.trigger:
            self._set_off(decision.trigger.name, client, server, decision)
        self.set_timer(flow)
        inside, public, remote = self.faces(flow)
        master = flow.master.id if flow.master else None
        self.emit(
            events.FlowOpened(
                self.now, flow.id, protocol, side, inside, public, remote, str(flow.origin), master
            )
        )
        self.shortage.opened(flow, self.now)
        if not decision.expectation:
            self.bind(flow)
        return flow

    def giving_way(self, lacking: Reason, host: Address) -> Flow | None:
        """Which flow makes room for one more of a host, whoever opens that, if one does: of those that strangers have
        opened and not confirmed, the oldest of this host, or in a full table of the host that has most of them."""
        if lacking is not Reason.TABLE_FULL:
            return self.unconfirmed.oldest(host, self.sync_counters)
        return (
            self.table.oldest_over()
            or self.unconfirmed.oldest(host, self.sync_counters)
            or self.unconfirmed.oldest_of_most(self.sync_counters)
        )

    def _make_way(self, flow: Flow) -> None:
        """A client may use its port again for another public port that leads to the same server; the
        connection that it has ended by the first one would be in the way. One of another client, which
        has the same public port, is in the way until both ends have acknowledged its end."""
        before = self.table.find(flow.reply.side, flow.protocol, flow.reply.match)
        if before is None or before is not before.flow.reply:
            return
        own = before.flow.state in OVER and before.flow.client.real == flow.client.real
        if own or before.flow.is_over:
            self.end(before.flow, Reason.REPLACED)

    @staticmethod
    def faces(flow: Flow) -> tuple[Endpoint, Endpoint, Endpoint]:
        """`(inside, public, remote)` endpoints, whoever opened it."""
        client, server = flow.client, flow.server
        if flow.opened_by is Side.INSIDE:
            return client.real, client.translated, server.translated
        return server.real, server.translated, client.real

    def _set_off(self, name: str, client: End, server: End, decision: Decision) -> None:
        trigger = decision.trigger
        assert trigger is not None
        host = client.real.address if decision.side is Side.OUTSIDE else server.real.address
        opening = self.admission.openings.get(name)
        if opening is None:
            opening = self.admission.openings[name] = Opening(trigger, host, 0)
        if opening.host == host:
            opening.until = self.now + trigger.life
            self.timers.set(opening, opening.until)

    def set_timer(self, flow: Flow) -> None:
        timeouts = self.policy.timeouts
        deadline = flow.deadline(timeouts)
        if deadline == inf:
            deadline = self.now + timeouts.tcp_established
        elif flow.state is State.ESTABLISHED:
            # An opening one may be open by then, and have less time.
            deadline = min(deadline, flow.last_seen + timeouts.tcp_established)
        self.timers.set(flow, deadline)

    def judge_offloadable(self, flow: Flow) -> None:
        """Whether its ordinary packets need no more thought, and say so if that has changed."""
        if flow.protocol == ipv4.TCP:
            offloadable = flow.state is State.ESTABLISHED and flow.rewriter is None
        else:
            offloadable = bool(flow.original.packets and flow.reply.packets)
        if offloadable is not flow.offloadable:
            flow.offloadable = offloadable
            kind = events.FlowOffloadable if offloadable else events.FlowNotOffloadable
            self.emit(kind(self.now, flow.id))

    def reopen(self, flow: Flow) -> None:
        """TCP: another connection takes the place of one that both its ends have lost; see `reopening`.
        What it does itself comes after this, from its first SYN on."""
        self._forget_helper(flow, Reason.REPLACED)
        flow.state = State.INIT
        flow.original.position = flow.reply.position = 0
        self.judge_offloadable(flow)
        self.set_timer(flow)
        if flow.opened_by is Side.OUTSIDE:
            self.unconfirmed.add(flow)
        self.bind(flow)

    def _forget_helper(self, flow: Flow, reason: Reason) -> None:
        self.release(flow, reason)
        for expectation in self.expectations.of(flow):
            self.end_expectation(expectation, Reason.MASTER_GONE)
        if isinstance(flow.helper, Attachment):
            self.timers.cancel(flow.helper)
        if flow.rewriter is not None:
            flow.rewriter.close()
        # Like the table, break cycles: nobody need look for them.
        flow.helper = flow.rewriter = None

    def end(self, flow: Flow, reason: Reason) -> None:
        """Forget a flow."""
        if self.sync_counters is not None:
            self.sync_counters(flow.id)
        self._forget_helper(flow, Reason.MASTER_GONE)
        self.reopenings.discard(flow.id)
        self.unlink(flow)
        self.timers.cancel(flow)
        self.unconfirmed.discard(flow)
        self._unconfirmed_inspected.discard(flow)
        self.table.remove(flow)
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
        """A data flow has ended: its control flow gets its full idle time again."""
        master, flow.master = flow.master, None
        if master is None or self.table.flows.get(master.id) is not master:
            return
        master.links -= 1
        master.last_seen = self.now
        self.set_timer(master)

    # -- time

    def tick(self, now: float) -> None:
        """Let go of everything whose time has come."""
        self.now = now
        for thing in self.timers.due(now):
            try:
                self._is_due(thing)
            except Exception as error:
                self.packet_failed(Side.INSIDE, b"", error)

    def _is_due(self, thing: Flow | Expectation | Opening | Datagram | Attachment) -> None:
        if isinstance(thing, Flow):
            self._flow_is_due(thing)
        elif isinstance(thing, Expectation):
            self.end_expectation(thing, Reason.IDLE)
        elif isinstance(thing, Attachment):
            self._expire(thing)
        elif isinstance(thing, Opening):
            if self.admission.openings.get(thing.trigger.name) is thing:
                del self.admission.openings[thing.trigger.name]
        elif self.reassembly.forget(thing):
            self.counts[Reason.FRAGMENT_TIMEOUT] += 1

    def _flow_is_due(self, flow: Flow) -> None:
        if self.sync_counters is not None:
            self.sync_counters(flow.id)
        deadline = flow.deadline(self.policy.timeouts)
        if deadline > self.now:
            if deadline == inf:
                self._keep_alive(flow)
            self.set_timer(flow)
            return
        ended = {State.C_S_FIN: Reason.ENDED, State.TRANS: Reason.RESET}
        self.end(flow, ended.get(flow.state, Reason.IDLE))

    def _keep_alive(self, flow: Flow) -> None:
        if isinstance(flow.helper, Attachment):
            flow.helper.registered.kept_alive += 1
        self.emit(events.KeptAlive(self.now, flow.id, flow.links))

    # -- helpers and what they wish (the `Desk` of `helping`)

    def bind(self, flow: Flow) -> None:
        """Give the flow its helper, if there is one for it. Only streams can be watched so far, and none
        that is being closed: it has nothing more to announce."""
        if flow.state not in (State.INIT, State.ESTABLISHED):
            return
        found = binding(self.registered, flow.protocol, flow.client, flow.server)
        if found is not None:
            self._attach(flow, found)

    def _attach(self, flow: Flow, found: Binding) -> None:
        try:
            attachment = Attachment(self, flow, found.helper)
        except Exception as error:
            self._not_attached(flow, found, f"{type(error).__name__}: {error}".splitlines()[0])
            return
        if flow.rewriter is None:
            if not self._can_inspect(flow.payer):
                self._not_attached(flow, found, NO_MEMORY)
                return
            if flow.opened_by is Side.OUTSIDE:
                self._unconfirmed_inspected.add(flow)
            flow.rewriter = TcpRewriter(
                attachment,
                attachment.terminator,
                attachment.longest,
                self.policy.limits.stream_bytes,
                partial(Account, self.memory, flow.payer),
                cost=Account(self.inspected, flow.payer),
            )
            self._join(flow, flow.rewriter)
        elif not flow.rewriter.retain(attachment, attachment.terminator, attachment.longest):
            self.awaiting_attach.add(
                flow.id
            )  # bytes are in flight: tried again with the next segment
            return
        self.awaiting_attach.discard(flow.id)
        if isinstance(flow.helper, Attachment):
            self.timers.cancel(flow.helper)
        flow.helper = attachment
        self.wait_for(attachment)
        found.helper.bound += 1
        found.helper.watching += 1
        self.emit(
            events.HelperBound(self.now, flow.id, found.helper.use.name, found.port, found.by)
        )
        self.judge_offloadable(flow)

    def _not_attached(self, flow: Flow, found: Binding, text: str) -> None:
        found.helper.failed += 1
        name = found.helper.use.name
        self.emit(events.HelperFailed(self.now, flow.id, name, Speaker.CLIENT, b"", text))

    def _can_inspect(self, payer: Address) -> bool:
        """Whether there is memory for one more inspected connection of an address. Where all have used it up
        together, those give way that strangers have opened and not confirmed."""
        while not self.inspected.has_room(payer, COST):
            if self.inspected.used_by(payer) + COST > self.inspected.per_host:
                return False
            oldest = self._unconfirmed_inspected.oldest_of_most(self.sync_counters)
            if oldest is None:
                return False
            self.end(oldest, Reason.REPLACED)
        return True

    def _join(self, flow: Flow, rewriter: TcpRewriter) -> None:
        """Begin where the connection is. What is under way passes unseen: the listener has not
        acknowledged it, but it left before anybody looked."""
        if not flow.original.packets:
            return  # its SYN is being handled
        if flow.state is State.INIT:
            rewriter.start(Speaker.CLIENT, flow.original.end, at_start=True)
            return
        if self.sync_counters is not None:
            self.sync_counters(flow.id)
        for half in (flow.original, flow.reply):
            first = half.twin.acknowledged
            unseen = max(0, tcp.distance(first, half.end))
            rewriter.start(half.speaker, first, at_start=False, unseen=unseen)

    def wait_for(self, attachment: Attachment) -> None:
        """Set the timer for what its watch is to send of its own accord."""
        rewriter = attachment.flow.rewriter
        deadline = rewriter.deadline if rewriter is not None else inf
        if deadline < inf:
            self.timers.set(attachment, max(deadline, self.now), SOON)

    def _expire(self, attachment: Attachment) -> None:
        """What is withheld leaves, and what was acknowledged early is repeated."""
        flow = attachment.flow
        if flow.helper is not attachment or flow.rewriter is None:
            return
        if not attachment.blocked:
            for sent in flow.rewriter.expire(self.now):
                half = flow.half(sent.speaker)
                packet = compose(half, tcp.write(sent.segment, sent.payload))
                self._outgoing.append((packet, half.side))
            self.wait_for(attachment)

    def take_outgoing(self) -> list[tuple[Packet, Side]]:
        """What is to be sent of the gateway's own accord; see `Engine.outgoing`."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def release(self, flow: Flow, reason: Reason) -> None:
        """The helper looks at the flow no longer; what it has changed stays changed."""
        self.awaiting_attach.discard(flow.id)
        attachment = flow.helper
        if not isinstance(attachment, Attachment) or not attachment.watching:
            return
        attachment.watching = False
        attachment.registered.watching -= 1
        if flow.rewriter is not None:
            flow.rewriter.release()
            self.wait_for(attachment)
        name = attachment.registered.use.name
        self.emit(events.HelperReleased(self.now, flow.id, name, reason))

    def leave(self, flow: Flow, rewriter: TcpRewriter) -> None:
        """Nobody listens any more. A connection that was never shifted needs no watch either."""
        awaiting_attach = flow.id in self.awaiting_attach
        self.release(flow, Reason.HELPER_STOPPED)
        if awaiting_attach:
            self.bind(flow)
        elif rewriter.is_plain:
            if isinstance(flow.helper, Attachment):
                self.timers.cancel(flow.helper)
            rewriter.close()
            self._unconfirmed_inspected.discard(flow)
            flow.rewriter = None
            flow.helper = None
            self.judge_offloadable(flow)

    def renew(self, attachment: Attachment) -> None:
        """The helper has newer code."""
        try:
            attachment.renew()
        except Exception as error:
            self.release(attachment.flow, Reason.HELPER_UNLOADED)
            name = attachment.registered.use.name
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            self.emit(
                events.HelperFailed(self.now, attachment.flow.id, name, Speaker.CLIENT, b"", text)
            )

    def expect(
        self, attachment: Attachment, speaker: Speaker, announced: Endpoint, protocol: int
    ) -> Expectation:
        """Hold what an announcement needs. Raises `Refusal`."""
        use = attachment.registered.use
        made = self.expectations.make(attachment.flow, use, speaker, announced, protocol, self.now)
        if made.mapping is not None and not (made.mapping.flows or made.mapping.expectations):
            self.shortage.mapped(made.mapping, self.now)
        return made

    def withdraw(self, expectations: list[Expectation]) -> None:
        """Drop expectations whose announcement was not forwarded, and free their ports."""
        for mapping in {id(each.mapping): each.mapping for each in expectations}.values():
            if mapping is not None:
                self.table.drop_unused(mapping)

    def forget(self, flow: Flow) -> None:
        """What it has announced is void."""
        for expectation in self.expectations.of(flow):
            self.end_expectation(expectation, Reason.WITHDRAWN)

    def finish(self, flow: Flow) -> None:
        """A connection is over, though late packets may come: its ports are free, and what it has announced
        is void."""
        self.table.finish(flow)
        self.reopenings.discard(flow.id)
        for expectation in self.expectations.of(flow):
            self.end_expectation(expectation, Reason.MASTER_GONE)

    def confirm(self, expectations: list[Expectation], attachment: Attachment) -> None:
        """The announcement goes out: from now on the flow may come."""
        use = attachment.registered.use
        # Held by all of them until the last is in: one may take the place of another.
        held = [new.mapping for new in expectations if new.mapping is not None]
        for mapping in held:
            mapping.expectations += 1
        for new in expectations:
            for old in self.expectations.replaced_by(new, use.expectations_per_flow):
                self.end_expectation(old, Reason.REPLACED)
            self.expectations.add(new)
            self.timers.set(new, new.until)
            attachment.registered.expected += 1
            self.emit(
                events.Expected(
                    self.now,
                    new.flow.id,
                    new.helper,
                    new.speaker,
                    new.protocol,
                    new.announced,
                    new.public,
                    new.peer,
                    new.until,
                )
            )
        for mapping in held:
            mapping.expectations -= 1
            self.table.drop_unused(mapping)

    def _meet(self, expectation: Expectation, flow: Flow) -> None:
        """The promised flow has come: once, and linked."""
        master = expectation.flow
        flow.master = master
        master.links += 1
        if isinstance(master.helper, Attachment):
            master.helper.registered.met += 1
        self.end_expectation(expectation, Reason.MET, met_by=flow.id)

    def end_expectation(
        self,
        expectation: Expectation,
        reason: Reason,
        met_by: int | None = None,
    ) -> None:
        self.timers.cancel(expectation)
        self.expectations.remove(expectation)
        self.emit(
            events.ExpectationEnded(
                self.now,
                expectation.flow.id,
                expectation.helper,
                expectation.public,
                reason,
                met_by,
            )
        )

    def check(self) -> None:
        """Raise AssertionError unless every index, count and stream is consistent."""
        self.table.check()
        self.expectations.check()
        kept: dict[Address, int] = {}
        inspected: dict[Address, int] = {}
        for flow in self.table.flows.values():
            assert not (flow.offloadable and flow.rewriter)
            assert flow.due is not None
            assert flow in flow.due.things
            if flow.rewriter:
                inspected[flow.payer] = inspected.get(flow.payer, 0) + COST
            for stream in flow.rewriter.streams if flow.rewriter else ():
                if stream is not None:
                    stream.check()
                    assert stream.account.host == flow.payer
                    kept[flow.payer] = kept.get(flow.payer, 0) + stream.account.kept
        self.memory.check(kept)
        self.inspected.check(inspected)

    # -- events

    def emit(self, event: Event) -> None:
        """Something has happened."""
        self._events.append(event)
        if isinstance(event, PRESSING) or _is_linked(event):
            self.pressing = True
        if len(self._events) > MOST_EVENTS:
            self.lost_events += MOST_EVENTS // 2
            del self._events[: MOST_EVENTS // 2]

    def packet_failed(self, side: Side, data: bytes, error: Exception) -> None:
        """Handling a packet raised. `data`: its first bytes."""
        self._failures += 1
        if self.now < self._failures_told + BETWEEN_FAILURES:
            return
        self._failures_told = self.now
        failures, self._failures = self._failures, 0
        self.emit(events.PacketFailed(self.now, side, data, in_one_line(error), failures))

    def drain(self) -> list[Event]:
        """What has happened since the last call."""
        happened, self._events = self._events, []
        self.pressing = False
        return happened


def _is_linked(event: Event) -> bool:
    """Whether a data flow was opened: the host's firewall is to know of it before its first packet comes."""
    return isinstance(event, events.FlowOpened) and event.master is not None


def known_at(decision: Decision) -> Address | None:
    """The public address by which the other end knows the host that meets an expectation: that of the
    control flow, which need not be the one that the host's own flows get."""
    expectation = decision.expectation
    if expectation is None:
        return None
    me = expectation.flow.end(expectation.speaker.other)
    return me.translated.address if me.is_masqueraded else None


def in_one_line(error: Exception) -> str:
    """What was raised, and in which line of which file."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return text
    file = step.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f"{text} ({file}:{step.tb_lineno})"
