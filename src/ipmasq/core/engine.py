"""The engine: packets in, packets out, and everything that is decided in between.

`receive` is the way of every packet: an entry that has settled answers at once, everything else goes
through `_consider`. Deciding what may be opened is in `admission`, the life of flows in `life`, rewriting
in `translate`, watched connections in `watch`, helpers in `helping`, what the operator does in `operate`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from math import inf
from typing import NamedTuple

from ipmasq.core import offloading, operate
from ipmasq.core import snapshots as views_of
from ipmasq.core.admission import Decision, is_martian
from ipmasq.core.claims import claims
from ipmasq.core.errors import translate_error, would_pass
from ipmasq.core.event_queue import FAILED_BYTES
from ipmasq.core.events import Event
from ipmasq.core.explain import explain
from ipmasq.core.flow import FAR, Flow, Half
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.host import SocketLookup
from ipmasq.core.identification import Identifications
from ipmasq.core.inspector import Inspector
from ipmasq.core.offloading import Command, Counters, CounterSource
from ipmasq.core.opening import FirstPacket, open_flow
from ipmasq.core.policy import Claim, Forward, HelperUse, Policy
from ipmasq.core.ports import Chance
from ipmasq.core.reasons import Reason
from ipmasq.core.reassembly import Datagram, Reassembled
from ipmasq.core.side import Side
from ipmasq.core.tcp_states import State
from ipmasq.core.tracking import track
from ipmasq.core.translate import is_intact, translate, translate_query
from ipmasq.core.views import ExpectationView, Explanation, FlowView, HelperView, MappingView
from ipmasq.core.window import is_in_window, is_within_reach
from ipmasq.wire import icmp, ipv4, tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.fragment import cut
from ipmasq.wire.packet import Packet

_IP = struct.Struct("!BxH2xHBB")
_TCP = struct.Struct("!IIBB")
_UDP = struct.Struct("!H")
_make = tuple.__new__
"""Makes a NamedTuple of all its fields, in half the time that its own constructor takes."""
_SYN_ACK_RST_FIN = tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN


class Verdict(NamedTuple):
    """What became of a packet, and what is to be sent now: often the packet itself, rewritten; if it went
    nowhere, what its sender is told. The commands are to be carried out before that, in their order."""

    reason: Reason
    packets: Sequence[Packet] = ()
    commands: Sequence[Command] = ()


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
        self._identifications = Identifications(chance)
        self._active = self.manager.active

    @property
    def policy(self) -> Policy:
        return self._active.policy

    @property
    def _ttl_delta(self) -> int:
        return self._active.policy.ttl_delta

    # -- the way of a packet

    def receive(self, packet: Packet, side: Side, now: float) -> Verdict:
        """Decide about one packet that came in on `side`. Its buffer may be rewritten, and is not
        kept: whatever must stay is copied. Never raises, for any bytes."""
        try:
            if now >= self._timers.next:
                self.tick(now)
            verdict = self._offloadable(packet, side, now) or self._consider(packet, side, now)
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

    def _consider(self, packet: Packet, side: Side, now: float) -> Verdict:
        """Any packet that is not simply one of a settled flow."""
        self.manager.now = now
        verdict = self._checked(packet, side)
        self.counts[verdict.reason] += 1
        return verdict

    def _checked(self, packet: Packet, side: Side) -> Verdict:
        header = ipv4.read(packet.data)
        if header is None:
            six = len(packet.data) > 0 and packet.data[0] >> 4 == 6
            return Verdict(Reason.UNSUPPORTED if six else Reason.MALFORMED)
        if len(packet.data) > header.total:
            packet.data = packet.data[: header.total]
        if not ipv4.is_intact(packet.data, header):
            return Verdict(Reason.BAD_CHECKSUM)
        if self._ttl_delta < 0 and header.ttl + self._ttl_delta < 1:
            return Verdict(Reason.TTL_EXPIRED)
        if header.ttl + self._ttl_delta > 255:
            return Verdict(Reason.MALFORMED)
        if not header.is_fragment:
            return self._by_protocol(packet, header, side)
        life = self.manager.now + self.policy.timeouts.fragment
        whole = self.manager.reassembly.add(packet, header, side, life)
        if isinstance(whole, Datagram):
            self._timers.set(whole, life)
            return Verdict(Reason.HELD)
        if isinstance(whole, Reason):
            return Verdict(whole)
        header = ipv4.read(whole.packet.data)
        assert header is not None
        verdict = self._by_protocol(whole.packet, header, side)
        return (
            verdict if verdict.reason is Reason.HOST else self._in_fragments(verdict, header, whole)
        )

    def _in_fragments(self, verdict: Verdict, before: ipv4.Header, whole: Reassembled) -> Verdict:
        """What leaves because of a datagram that came in fragments: with an identification that its new
        source has not used, and, with DF, in fragments no larger than those."""
        packets: list[Packet] = []
        for packet in verdict.packets:
            data = packet.data
            source = bytes(data[12:16])
            if source != before.source:
                number = self._identifications.take(source, bytes(data[16:20]), data[9])
                ipv4.replace(data, 4, number.to_bytes(2, "big"))
            if before.dont_fragment:
                packets += [Packet(each, note=packet.note) for each in cut(data, whole.largest)]
            else:
                packets.append(packet)
        return Verdict(verdict.reason, packets)

    def _by_protocol(self, packet: Packet, header: ipv4.Header, side: Side) -> Verdict:
        data, length = packet.data, header.length
        payload = header.total - length
        if header.protocol == ipv4.TCP:
            segment = tcp.read(memoryview(data)[length : header.total])
            if segment is None:
                return Verdict(Reason.MALFORMED)
            return self._tcp(packet, header, segment, side)
        if header.protocol == ipv4.UDP:
            if (
                payload < 8
                or not 8 <= int.from_bytes(data[length + 4 : length + 6], "big") <= payload
            ):
                return Verdict(Reason.MALFORMED)
            return self._udp(packet, header, side)
        if header.protocol == ipv4.ICMP:
            if payload < icmp.HEADER:
                return Verdict(Reason.MALFORMED)
            return self._icmp(packet, header, side)
        return self._without_flow(packet, header, side)

    def _without_flow(self, packet: Packet, header: ipv4.Header, side: Side) -> Verdict:
        """A protocol that cannot be masqueraded may still pass, or be the host's."""
        source, destination = Endpoint(header.source, 0), Endpoint(header.destination, 0)
        answer = self.manager.admission.decide(header.protocol, source, destination, side)
        reason = Reason.UNSUPPORTED if isinstance(answer, Decision) else answer
        return self._onward(packet, header, side, reason)

    def _onward(self, packet: Packet, header: ipv4.Header, side: Side, reason: Reason) -> Verdict:
        """Without a flow: on its way untouched (but for the hop), or dropped; then its sender may be told."""
        if reason is Reason.PASSED:
            data = packet.data
            ipv4.replace(data, 8, bytes((data[8] + self._ttl_delta, data[9])))
        if not reason.is_drop:
            return Verdict(reason, (packet,))
        if side is Side.OUTSIDE:
            return Verdict(reason)
        answer = self.manager.refusals.answer(packet, header, reason, self.manager.now)
        return Verdict(reason, () if answer is None else (answer,))

    # -- TCP

    def _tcp(
        self, packet: Packet, header: ipv4.Header, segment: tcp.Segment, side: Side
    ) -> Verdict:
        key = (
            header.source
            + header.destination
            + bytes(packet.data[header.length : header.length + 4])
        )
        half = self.table.find(side, ipv4.TCP, key)
        opens = segment.flags & _SYN_ACK_RST_FIN == tcp.SYN
        # Only its client can open it anew (RFC 9293, 3.6.1): anybody can write a SYN.
        anew = half is not None and half is half.flow.original and half.flow.is_over
        if half is not None and opens and anew:
            self.manager.end(half.flow, Reason.REPLACED)
            half = None
        if half is None:
            opened = self._open(
                packet, header, segment.source_port, segment.destination_port, side, opens
            )
            if isinstance(opened, Reason):
                return self._onward(packet, header, side, opened)
            half = opened.original
        flow = half.flow
        is_elsewhere, before = self._offloading.sync(flow), half.position
        if segment.flags & tcp.SYN and flow.state is not State.INIT:
            self._reopen(packet, header, segment, half)
        if flow.inspector is not None:
            return self._inspected(packet, header, segment, half, flow.inspector)
        payload = header.total - header.length - segment.length
        believed = is_in_window(half, segment, payload, segment.acknowledgment)
        if segment.flags & (tcp.SYN | tcp.FIN | tcp.RST):
            # Its receiver will drop it if it was damaged on its way, so it must not change a state.
            believed = believed and is_intact(packet, header)
        if believed:
            track(self.manager, half, segment, payload, segment.acknowledgment)
            if is_elsewhere:
                self._offloading.moved(half, before)
        translate(packet.data, header.length, ipv4.TCP, half, self._ttl_delta, packet.partial)
        self._account(half, header.total, believed)
        return Verdict(Reason.TRANSLATED, (packet,))

    def _reopen(
        self, packet: Packet, header: ipv4.Header, segment: tcp.Segment, half: Half
    ) -> None:
        """A SYN of a connection that is alive here may belong to a newer one; see `reopening`."""
        flow, life = half.flow, self.manager
        if not is_intact(packet, header):
            return
        flags = segment.flags & _SYN_ACK_RST_FIN
        if flags == tcp.SYN:
            first = tcp.advance(segment.sequence, 1)
            old = (
                flow.inspector.began_at(first)
                if flow.inspector
                else is_within_reach(half, first, half.acknowledged)
            )
            if half is flow.original and not old:
                life.reopenings.note(flow.id, segment)
        elif half is flow.reply and flags == tcp.SYN | tcp.ACK:
            syn = life.reopenings.take(flow.id, segment.acknowledgment)
            if syn is not None:
                life.reopen(flow)
                track(life, flow.original, syn, 0, 0)
                if flow.inspector is not None:
                    flow.inspector.open(syn, life.now)

    def _inspected(
        self,
        packet: Packet,
        header: ipv4.Header,
        segment: tcp.Segment,
        half: Half,
        inspector: Inspector,
    ) -> Verdict:
        """A segment of a connection that a helper inspects, or has inspected."""
        manager = self.manager
        done = inspector.receive(
            packet, header, segment, half.speaker, self._ttl_delta, manager.now
        )
        if done.reason.is_drop:
            return Verdict(done.reason)
        if done.taken is not None:
            track(manager, half, done.taken, done.payload, done.acknowledgment)
        self._account(half, header.total, done.taken is not None)
        if done.deadline < inf:
            manager.wait_for(inspector)
        if done.is_released:
            manager.leave(half.flow, inspector)
        return Verdict(done.reason, done.packets)

    # -- UDP and ICMP

    def _udp(self, packet: Packet, header: ipv4.Header, side: Side) -> Verdict:
        ports = bytes(packet.data[header.length : header.length + 4])
        half = self.table.find(side, ipv4.UDP, header.source + header.destination + ports)
        if half is None:
            source, destination = int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big")
            opened = self._open(packet, header, source, destination, side)
            if isinstance(opened, Reason):
                return self._onward(packet, header, side, opened)
            half = opened.original
        translate(packet.data, header.length, ipv4.UDP, half, self._ttl_delta, packet.partial)
        self._account(half, header.total)
        self.manager.judge_offloadable(half.flow)
        return Verdict(Reason.TRANSLATED, (packet,))

    def _icmp(self, packet: Packet, header: ipv4.Header, side: Side) -> Verdict:
        kind = packet.data[header.length]
        if kind in icmp.ERRORS:
            if self.manager.admission.is_spoofed(header.source, side) or is_martian(header.source):
                return Verdict(Reason.SPOOFED)
            reason = translate_error(
                packet, header, side, self.table, self._ttl_delta, self._offloading.sync
            )
            if reason is Reason.ICMP_UNRELATED and would_pass(
                self.manager.admission, packet.data, header, side
            ):
                return self._onward(packet, header, side, Reason.PASSED)
            # An error about a flow of the host's own is the host's.
            if reason is Reason.ICMP_UNRELATED and header.destination in self.policy.own:
                reason = Reason.HOST
            return Verdict(reason, () if reason.is_drop else (packet,))
        if kind not in (icmp.ECHO, icmp.ECHO_REPLY):
            return self._without_flow(packet, header, side)
        identifier = bytes(packet.data[header.length + 4 : header.length + 6])
        ports = identifier + b"\0\0" if kind == icmp.ECHO else b"\0\0" + identifier
        half = self.table.find(side, ipv4.ICMP, header.source + header.destination + ports)
        if half is None and kind == icmp.ECHO_REPLY:
            return self._without_flow(packet, header, side)
        if half is None:
            opened = self._open(packet, header, int.from_bytes(identifier, "big"), 0, side)
            if isinstance(opened, Reason):
                return self._onward(packet, header, side, opened)
            half = opened.original
        translate_query(packet.data, header.length, half, self._ttl_delta)
        self._account(half, header.total)
        return Verdict(Reason.TRANSLATED, (packet,))

    def _account(self, half: Half, size: int, believed: bool = True) -> None:
        """A packet of a flow is forwarded. One that is not believable keeps no flow alive."""
        half.packets += 1
        half.bytes += size
        if believed:
            half.flow.last_seen = self.manager.now

    def _open(
        self,
        packet: Packet,
        header: ipv4.Header,
        source_port: int,
        destination_port: int,
        side: Side,
        opens: bool = True,
    ) -> Flow | Reason:
        source = Endpoint(header.source, source_port)
        destination = Endpoint(header.destination, destination_port)
        first = FirstPacket(header.protocol, source, destination, side)
        return open_flow(self.manager, first, opens, partial(is_intact, packet, header))

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
