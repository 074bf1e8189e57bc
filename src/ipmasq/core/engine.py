"""The engine: packets in, packets out, and the interface to everything that is decided in between.

`receive` is the way of every packet: an ordinary one of an offloadable flow is translated here, every other one
takes the slow path (`slow_path`). What happens to flows over time is in `flow_manager`, what the operator does in
`operate`, what is shown in `snapshots`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain
from math import inf

from ipmasq.core import offloading, operate
from ipmasq.core import snapshots as views_of
from ipmasq.core.claims import claims
from ipmasq.core.event_queue import FAILED_BYTES
from ipmasq.core.events import Event
from ipmasq.core.explain import explain
from ipmasq.core.flow import FAR
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.host import SocketLookup
from ipmasq.core.offloading import Command, Counters, CounterSource
from ipmasq.core.policy import Claim, Forward, HelperUse, Policy
from ipmasq.core.ports import Chance
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.slow_path import SlowPath
from ipmasq.core.translate import translate
from ipmasq.core.verdict import Verdict
from ipmasq.core.views import ExpectationView, Explanation, FlowView, HelperView, MappingView
from ipmasq.core.window import is_within_reach
from ipmasq.wire import tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet

_IP = struct.Struct("!BxH2xHBB")
_TCP = struct.Struct("!IIBB")
_UDP = struct.Struct("!H")
_make = tuple.__new__
"""Makes a NamedTuple of all its fields, in half the time that its own constructor takes."""
_SYN_ACK_RST_FIN = tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN


class Engine:
    """One gateway's NAT. Not to be entered by two threads at a time."""

    def __init__(self, policy: Policy, chance: Chance, now: float) -> None:
        """`chance(n)`: an unpredictable integer of 0..n-1. `now`: seconds, on a clock that never goes back."""
        self.manager = FlowManager(policy, chance, now)
        self.table = self.manager.table
        self.counts = self.manager.counts
        """Packets by `Reason`."""
        self._timers = self.manager.timers
        self._offloading = self.manager.offloading
        self._commands = self._offloading.commands
        self._slow_path = SlowPath(self.manager, chance).receive
        self._active = self.manager.active

    @property
    def policy(self) -> Policy:
        return self._active.policy

    # -- the way of a packet

    def receive(self, packet: Packet, side: Side, now: float) -> Verdict:
        """Decide about one packet that came in on `side`. Its buffer may be rewritten, and is not
        kept: whatever must stay is copied. Never raises, for any bytes."""
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
        """An ordinary packet of a settled flow; None if it is not one."""
        data = packet.data
        size = len(data)
        if size < 28:
            return None
        first, total, fragment, ttl, protocol = _IP.unpack_from(data)
        # Ordinary: no options, no fragment (DF may be set), time to live, and all there.
        if first != 0x45 or fragment & 0xBFFF or not 1 < ttl < 255 or total != size:
            return None
        half = self.table.halves[side][protocol].get(bytes(data[12:24]))
        if half is None or not half.flow.offloadable:
            return None
        if protocol == 6:
            if size < 40:
                return self._drop(Reason.MALFORMED)
            sequence, acknowledged, offset, flags = _TCP.unpack_from(data, 24)
            length = total - 20 - (offset >> 4 << 2)
            if flags & _SYN_ACK_RST_FIN != tcp.ACK or length < 0 or offset < 0x50:
                return None
            is_elsewhere = self._offloading.source is not None and self._offloading.sync(half.flow)
            before = half.position
            position = ((sequence + length) & 0xFFFFFFFF) << 32 | acknowledged
            # A little way on from the last one, in both numbers: the most common case of `is_near`.
            if not (position - before) & FAR:
                half.position = position
                half.flow.last_seen = now
            elif is_within_reach(half, position >> 32, acknowledged):
                half.advance(position >> 32, acknowledged)
                half.flow.last_seen = now
            if is_elsewhere:
                self._offloading.moved(half, before)
        else:
            if not 8 <= _UDP.unpack_from(data, 24)[0] <= size - 20:
                return self._drop(Reason.MALFORMED)
            half.flow.last_seen = now
        translate(data, 20, protocol, half, self._active.policy.ttl_delta, packet.partial)
        half.packets += 1
        half.bytes += size
        self.counts[0] += 1
        return _make(Verdict, (Reason.TRANSLATED, (packet,), ()))

    def _drop(self, reason: Reason) -> Verdict:
        self.counts[reason] += 1
        return Verdict(reason)

    def _failed(self, packet: Packet, side: Side, now: float, error: Exception) -> Verdict:
        """Whatever is raised while a packet is handled costs that packet and nothing else."""
        self.manager.now = now
        self.manager.packet_failed(side, bytes(packet.data[:FAILED_BYTES]), error)
        return self._drop(Reason.FAULT)

    # -- time and events

    def tick(self, now: float) -> None:
        """Let go of everything whose time has come. What is to be sent because of that comes out of
        `outgoing`."""
        self.manager.tick(now)

    def outgoing(self) -> list[tuple[Packet, Side]]:
        """What the engine sends of its own accord since the last call: each as if it had come in on that side."""
        return self.manager.take_outgoing()

    def deadline(self) -> float | None:
        """When `tick` will have something to do, on the engine's clock; None if never."""
        return None if self._timers.next == inf else self._timers.next

    def note(self, event: Event) -> None:
        """Something has happened around the engine that its listeners should hear of."""
        self.manager.emit(event)

    def events(self) -> list[Event]:
        """What has happened since the last call."""
        return self.manager.drain()

    # -- a fast path (see `ipmasq.core.offloading`)

    def set_counter_source(self, source: CounterSource | None) -> None:
        """Have a fast path, which is asked before anything is judged by what was seen of a flow; None: have none.
        Flows that live already are not known to it (`restate`)."""
        self._offloading.source = source

    def commands(self) -> list[Command]:
        """Those of what happened between packets, which no verdict has carried."""
        return self._offloading.take()

    def restate(self, flow: int) -> None:
        """Have a command for a flow as it is now, if it lives."""
        known = self.table.flows.get(flow)
        if known is not None:
            self._offloading.command(known)

    def report(self, flow: int, counters: Counters) -> None:
        """Packets of a flow were forwarded elsewhere."""
        known = self.table.flows.get(flow)
        if known is not None:
            offloading.report(known, counters)

    @property
    def lost_events(self) -> int:
        """Events that nobody came for in time."""
        return self.manager.events.lost

    @property
    def answered(self) -> tuple[int, int]:
        """ICMP errors and resets by which inside hosts were told that their packets went nowhere."""
        return self.manager.refusals.errors, self.manager.refusals.resets

    # -- what the operator does

    def apply(self, policy: Policy, now: float) -> int:
        """Go on under another policy. Live flows that it still allows stay; how many were closed."""
        return operate.apply(self.manager, policy, now)

    def reserve(self, ports: frozenset[tuple[int, int]]) -> None:
        """`(protocol, port)` that the host itself listens on: never given out."""
        self.table.mappings.host.reserved = ports

    def set_socket_lookup(self, find_socket: SocketLookup) -> None:
        """Whom to ask, before a packet is dropped or a port given out, whether a socket of the host's has it."""
        self.table.mappings.host.find_socket = find_socket

    def add_forward(self, forward: Forward, now: float) -> None:
        """Publish a server. Raises ValueError if the name is taken or another forward overlaps."""
        operate.add_forward(self.manager, forward, now)

    def remove_forward(self, name: str, now: float) -> None:
        """Publish it no longer; its live flows stay. Raises KeyError."""
        operate.remove_forward(self.manager, name, now)

    def close(self, flow: int, now: float) -> bool:
        """Forget a flow; whether there was one."""
        return operate.close(self.manager, flow, now)

    def load_helper(self, use: HelperUse, now: float) -> None:
        """Use a helper, or its newer code. Flows that it watches go on with the new code and their
        state; live flows for it that nobody watches are watched from their next line on."""
        operate.load_helper(self.manager, use, now)

    def unload_helper(self, name: str, now: float) -> None:
        """Use it no longer; its connections stay, as shifted as they are. Raises KeyError."""
        operate.unload_helper(self.manager, name, now)

    # -- what there is to see

    def flows(self) -> Iterator[FlowView]:
        """Those that live when it is begun, without those that have ended when it comes to them:
        packets may be received in between."""
        for flow in list(self.table.flows.values()):
            if flow.id in self.table.flows:
                yield views_of.flow(self.manager, flow)

    def flow(self, number: int) -> FlowView | None:
        flow = self.table.flows.get(number)
        return views_of.flow(self.manager, flow) if flow else None

    def mappings(self) -> Iterator[MappingView]:
        own = (each for each in self.table.mappings if not each.shared)
        return chain(map(views_of.mapping, own), views_of.shared(self.table.flows.values()))

    def expectations(self) -> Iterator[ExpectationView]:
        return (expectation.view() for expectation in self.manager.expectations)

    def forwards(self) -> tuple[Forward, ...]:
        return self.policy.forwards

    def helpers(self) -> tuple[HelperView, ...]:
        return tuple(registered.view() for registered in self.manager.registered.values())

    def claims(self) -> tuple[Claim, ...]:
        """What a plane must bring here although the host owns the address; changes with the policy."""
        return claims(self.policy)

    def explain(
        self, protocol: int, source: Endpoint, destination: Endpoint, side: Side, now: float
    ) -> Explanation:
        """What happens, or would happen, to packets from `source` to `destination` that come in on `side`."""
        return explain(self.manager, protocol, source, destination, side, now)

    def check(self) -> None:
        """Raise AssertionError unless every index, count and stream is consistent. For tests."""
        self.manager.check()
