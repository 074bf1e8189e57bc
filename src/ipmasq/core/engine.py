"""The engine: packets in, packets out, and every decision in between.

Every packet passes `receive`: an ordinary packet of an offloadable flow is translated at once, everything
else takes the slow path (`slow_path`). `admission` and `opening` decide about new flows, `flow_manager` has their
life cycle, and `operate` has the operator's changes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Self

from ipmasq.core import operate, records
from ipmasq.core import snapshots as views_of
from ipmasq.core.changes import Record
from ipmasq.core.claims import claims
from ipmasq.core.compact import Compact
from ipmasq.core.event_queue import FAILED_BYTES
from ipmasq.core.events import Event
from ipmasq.core.explain import explain
from ipmasq.core.flow import FAR
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.host import SocketLookup
from ipmasq.core.invariants import check
from ipmasq.core.joining import join
from ipmasq.core.offloading import Command, Counters, CounterSource, Marks, MarkSource
from ipmasq.core.policy import Claim, Forward, HelperUse, Policy
from ipmasq.core.ports import Chance
from ipmasq.core.reasons import Reason
from ipmasq.core.registered import Call
from ipmasq.core.restoring import Kept, Later, restore, restore_some
from ipmasq.core.side import Side
from ipmasq.core.slow_path import SlowPath
from ipmasq.core.tracking import report
from ipmasq.core.translate import translate
from ipmasq.core.verdict import Verdict
from ipmasq.core.views import (
    ExpectationView,
    Explanation,
    FlowView,
    HelperView,
    MappingView,
    Reading,
)
from ipmasq.core.window import is_within_reach
from ipmasq.wire import tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.header import IPV4
from ipmasq.wire.packet import Packet

_IP = struct.Struct("!BxH2xHBB")
_TCP = struct.Struct("!4xQBB")
"""Sequence and acknowledgment number as one number, as in `Half.position`; data offset; flags."""
_UDP = struct.Struct("!4xH")
_LENGTH, _KEY = IPV4.length, IPV4.key
_make = tuple.__new__
"""Makes a NamedTuple of all its fields, in half the time of its own constructor."""
_SYN_ACK_RST_FIN = tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN
_ACK, _TRANSLATED = tcp.ACK, Reason.TRANSLATED


class Engine:
    """The NAT of one gateway. It must not be used by two threads at the same time."""

    def __init__(self, policy: Policy, chance: Chance, now: float) -> None:
        """`chance(n)` returns an unpredictable integer of 0..n-1. `now`: seconds, on a clock that never decreases."""
        self.manager = FlowManager(policy, chance, now)
        self.table = self.manager.table
        self._halves = self.table.halves
        self.counts = self.manager.counts
        """Packets by `Reason`."""
        self._timers = self.manager.timers
        self._offloading = self.manager.offloading
        self._commands = self._offloading.commands
        self._slow_path = SlowPath(self.manager).receive
        self._active = self.manager.active

    @property
    def policy(self) -> Policy:
        return self._active.policy

    # -- packets

    def receive(self, packet: Packet, side: Side, now: float) -> Verdict:
        """Decide about one packet that came in on `side`. Its buffer may be rewritten, and is not kept:
        whatever must stay is copied. Never raises, for any bytes."""
        try:
            if now >= self._timers.next:
                self.tick(now)
            verdict = self._offloadable(packet, side, now) or self._slow_path(packet, side, now)
        except Exception as error:
            verdict = self._failed(packet, side, now, error)
        if self._commands:
            return Verdict(verdict.reason, verdict.packets, self.commands())
        return verdict

    def _offloadable(self, packet: Packet, side: Side, now: float) -> Verdict | None:
        """Translate an ordinary packet of an offloadable flow. Return None if it is none."""
        data = packet.data
        size = len(data)
        if size < 28:
            return None
        first, total, fragment, ttl, protocol = _IP.unpack_from(data)
        # Ordinary: no options, no fragment (DF may be set), time to live left, and whole. No more is IPv4's own here.
        if first != 0x45 or fragment & 0xBFFF or not 1 < ttl < 255 or total != size:
            return None
        half = self._halves[side][protocol].get(bytes(data[_KEY]))
        if half is None:
            return None
        flow = half.flow
        if not flow.offloadable:
            return None
        if protocol == 6:
            if size < 40:
                return self._drop(Reason.MALFORMED)
            numbers, offset, flags = _TCP.unpack_from(data, _LENGTH)
            length = total - _LENGTH - (offset >> 4 << 2)
            if flags & _SYN_ACK_RST_FIN != _ACK or length < 0 or offset < 0x50:
                return None
            is_elsewhere = self._offloading.source is not None and self._offloading.sync(flow)
            before = half.position
            position = (numbers + (length << 32)) & 0xFFFFFFFF_FFFFFFFF
            # Most common: both numbers are a little after the last ones.
            if not (position - before) & FAR:
                half.position = position
                flow.last_seen = now
            elif is_within_reach(half, position >> 32, position & 0xFFFFFFFF, 1 << flow.reach):
                half.advance(position >> 32, position & 0xFFFFFFFF)
                flow.last_seen = now
            if is_elsewhere:
                self._offloading.moved(half, before)
        else:
            if not 8 <= _UDP.unpack_from(data, _LENGTH)[0] <= size - _LENGTH:
                return self._drop(Reason.MALFORMED)
            flow.last_seen = now
        translate(
            data, IPV4, _LENGTH, protocol, half, self._active.policy.ttl_delta, packet.partial
        )
        half.packets += 1
        half.bytes += size
        self.counts[0] += 1
        return _make(Verdict, (_TRANSLATED, (packet,), ()))

    def _drop(self, reason: Reason) -> Verdict:
        self.counts[reason] += 1
        return Verdict(reason)

    def _failed(self, packet: Packet, side: Side, now: float, error: Exception) -> Verdict:
        """Drop a packet whose handling raised; nothing else is affected."""
        self.manager.now = now
        self.manager.packet_failed(side, bytes(packet.data[:FAILED_BYTES]), error)
        return self._drop(Reason.FAULT)

    # -- time and events

    def tick(self, now: float) -> None:
        """End everything that has expired. Packets to be sent because of that are returned by `outgoing`."""
        self.manager.tick(now)

    def outgoing(self) -> list[tuple[Packet, Side]]:
        """Return the packets that the engine sends by itself since the last call, each as if it had come in
        on that side."""
        return self.manager.take_outgoing()

    def deadline(self) -> float | None:
        """Return when `tick` will have something to do, on the engine's clock; None if never."""
        return None if self._timers.next == inf else self._timers.next

    def note(self, event: Event) -> None:
        """Report an event that has happened outside the engine to its listeners."""
        self.manager.emit(event)

    def events(self) -> list[Event]:
        """Return the events since the last call."""
        return self.manager.drain()

    # -- a fast path (see `ipmasq.core.offloading`)

    def set_counter_source(self, source: CounterSource | None) -> None:
        """Set the source of a fast path's counters, which is read before anything is judged by what was seen
        of a flow; None means no fast path. Live flows are not known to it yet (`restate`)."""
        self._offloading.source = source

    @property
    def mark_source(self) -> MarkSource | None:
        """What gives the marks of flows; another one with each fast path."""
        return self._offloading.mark_source

    def set_mark_source(self, source: MarkSource | None) -> None:
        """Set the source of the marks that are kept with flows."""
        self._offloading.mark_source = source

    def take_marks(self, flow: int) -> Marks | None:
        """Return, once, the marks that an earlier process had of a flow."""
        return self._offloading.inherited.pop(flow, None)

    def commands(self) -> list[Command]:
        """Return the commands that no verdict has carried, since they arose between packets."""
        return self._offloading.take()

    def restate(self, flow: int) -> None:
        """Make a command for the present state of a flow, if it is alive."""
        known = self.table.flow(flow)
        if known is not None:
            self._offloading.command(known)

    def report(self, flow: int, counters: Counters, are_judged: bool = True) -> None:
        """Record counters of packets that were forwarded elsewhere; see `tracking.report`."""
        if (known := self.table.flow(flow)) is not None:
            report(self.manager, known, counters, are_judged)

    def lacks_positions(self, flow: int) -> bool:
        """Return whether a flow was forwarded by an earlier process's fast path, perhaps, and only that knows the
        positions of its ends; see `pickup`."""
        return flow in self.manager.pickups and not self.table.flows[flow].is_over

    @property
    def lost_events(self) -> int:
        """The number of events that no listener took in time."""
        return self.manager.events.lost

    @property
    def answered(self) -> tuple[int, int]:
        """The numbers of ICMP errors and resets that were sent to inside hosts for dropped packets."""
        return self.manager.refusals.errors, self.manager.refusals.resets

    # -- the operator

    def apply(self, policy: Policy, now: float) -> int:
        """Replace the policy. Live flows that it still allows continue. Return the number of flows that were
        closed."""
        return operate.apply(self.manager, policy, now)

    def reserve(self, ports: frozenset[tuple[int, int]]) -> None:
        """Set the `(protocol, port)` on which the host itself listens, which are never allocated."""
        self.table.mappings.host.reserved = ports

    def set_socket_lookup(self, find_socket: SocketLookup) -> None:
        """Set the look-up of the host's sockets, which is used before a packet is dropped or a port is
        allocated."""
        self.table.mappings.host.find_socket = find_socket

    def add_forward(self, forward: Forward, now: float) -> None:
        """Publish a server. Raises ValueError if the name is taken or another forward overlaps."""
        operate.add_forward(self.manager, forward, now)

    def remove_forward(self, name: str, now: float) -> None:
        """Stop publishing a server; its live flows continue. Raises KeyError."""
        operate.remove_forward(self.manager, name, now)

    def close(self, flow: int, now: float) -> bool:
        """End a flow. Return whether there was one."""
        return operate.close(self.manager, flow, now)

    def load_helper(self, use: HelperUse, now: float) -> None:
        """Load a helper, or its newer code. Flows that it inspects continue with the new code and their
        state; live flows for it that no helper inspects are inspected from their next line on."""
        operate.load_helper(self.manager, use, now)

    def unload_helper(self, name: str, now: float) -> None:
        """Unload a helper; its connections continue, shifted as they are. Raises KeyError."""
        operate.unload_helper(self.manager, name, now)

    def call_helpers_by(self, call: Callable[[str], Call] | None) -> None:
        """Let every helper that is loaded now be called by what `call` returns for its name; None: directly."""
        for name, registered in self.manager.registered.items():
            registered.call = call(name) if call else None

    # -- its state as records (see `ipmasq.core.records`)

    def keep_changes(self, are_kept: bool = True) -> None:
        """Begin to note what changes, for `changed`; or end, and forget what was noted."""
        self.manager.changes.is_kept = are_kept
        self.manager.changes.clear()

    def records(self, now: float) -> Iterator[Record]:
        """Yield everything that it remembers, between two packets."""
        return records.records(self.manager, now)

    @property
    def has_dependent_changes(self) -> bool:
        """Whether the changes must be written before the packets leave that were returned since: a connection
        could not go on without them."""
        return self.manager.changes.is_dependent

    def changed(self, now: float) -> list[Record]:
        """Return the records of what has changed since the last call, between two packets."""
        return records.changed(self.manager, now)

    @property
    def has_changes(self) -> bool:
        return not self.manager.changes.is_empty()

    def mark_all_but_flows(self) -> None:
        """Mark everything as changed but flows; see `records.mark_all_but_flows`."""
        records.mark_all_but_flows(self.manager)

    def mark_flows(self, after: int, count: int) -> int:
        """Mark the next flows as changed; see `records.mark_flows`."""
        return records.mark_flows(self.manager, after, count)

    def mark_small(self) -> None:
        """Mark as changed what has no record of its own, such as counters."""
        self.manager.changes.all_small()

    def refresh(self, after: int, count: int, since: float) -> int:
        """Mark flows as changed whose records lag; see `records.refresh`."""
        return records.refresh(self.manager, after, count, since)

    @classmethod
    def from_records(
        cls,
        policy: Policy,
        chance: Chance,
        kept: Iterable[Kept],
        now: float,
        is_lagging: bool = False,
        compact: Later | None = None,
    ) -> Self:
        """Return an engine that continues where the one was whose last records these are. `is_lagging`: it wrote
        them while it worked, so that they may lag; see `records`. If the policy is another one now, it takes effect
        as by `apply`. Plain flows in `compact` are restored on demand, and by `restore_some`. Raises StateError."""
        engine = cls(policy, chance, now)
        restore(engine.manager, kept, is_lagging, compact)
        return engine

    @property
    def is_restored(self) -> bool:
        """Whether all flows of an earlier process are restored."""
        return not self.table.unrestored

    def restore_all(self) -> None:
        """Restore all flows at once."""
        self.table.restore_all()

    def restore_some(self, count: int) -> list[int]:
        """Restore about so many of the flows that are not restored yet. Return the numbers of all that were restored
        since the last call, in whatever way, which a fast path does not know yet (`restate`)."""
        return restore_some(self.manager, count)

    def join(self, kept: Iterable[Kept], now: float, plain: Compact | None = None) -> int:
        """Continue with the flows of another engine, too, whose public addresses it did not have: the policy has
        them now. Its records may lag. What is in `plain` is restored later, and is not marked as changed. Return how many
        there are; they are those opened last. Raises StateError; then some may be there, and end with the addresses."""
        self.restore_all()
        self.manager.now = now
        return join(self.manager, kept, plain or Compact())

    def become(self, other: Engine) -> None:
        """Continue as another engine, which must not be used any more. What belongs to the host stays."""
        host = self.table.mappings.host
        vars(self).update(vars(other))
        self.reserve(host.reserved)
        self.set_socket_lookup(host.find_socket)

    # -- views

    def flows(self) -> Iterator[FlowView]:
        """Yield the flows that are alive at the beginning, without those that end before it comes to them:
        packets may be received in between."""
        return views_of.flows(self.manager)

    def flow(self, number: int) -> FlowView | None:
        flow = self.table.flow(number)
        return views_of.flow(self.manager, flow) if flow else None

    def readings(self, numbers: Iterable[int]) -> Iterator[Reading]:
        """Yield what those of these flows that are alive have transferred, by a fast path too. A fifth of the
        work of a view."""
        return views_of.readings(self.manager, numbers)

    def mappings(self) -> Iterator[MappingView]:
        return views_of.mappings(self.manager)

    def expectations(self) -> Iterator[ExpectationView]:
        return (expectation.view() for expectation in self.manager.expectations)

    def forwards(self) -> tuple[Forward, ...]:
        return self.policy.forwards

    def helpers(self) -> tuple[HelperView, ...]:
        return tuple(registered.view() for registered in self.manager.registered.values())

    def claims(self) -> tuple[Claim, ...]:
        """Return the claims: packets that a plane must bring here although the host owns the address. They
        change with the policy."""
        return claims(self.policy)

    def explain(
        self, protocol: int, source: Endpoint, destination: Endpoint, side: Side, now: float
    ) -> Explanation:
        """Explain what happens, or would happen, to packets from `source` to `destination` that come in on
        `side`."""
        return explain(self.manager, protocol, source, destination, side, now)

    def check(self) -> None:
        """Raise AssertionError unless every index, count and stream is consistent. For tests."""
        check(self.manager)
