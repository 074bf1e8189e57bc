"""Decides about every packet that is no ordinary one of an offloadable flow.

`admission` and `opening` decide about new flows, `window` and `tracking` what a TCP segment means for its flow,
`tcp_inspector` handles inspected connections, and `translate` rewrites packets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf

from ipmasq.core.admission import Decision, is_martian
from ipmasq.core.errors import translate_error, would_pass
from ipmasq.core.flow import Flow, Half
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.inspector import Inspector
from ipmasq.core.opening import FirstPacket, open_flow
from ipmasq.core.pickup import Noted
from ipmasq.core.reasons import Reason
from ipmasq.core.reassembly import Datagram, Reassembled
from ipmasq.core.refusals import reset
from ipmasq.core.side import Side
from ipmasq.core.tcp_states import State
from ipmasq.core.tracking import track
from ipmasq.core.translate import is_intact, translate_packet, translate_query
from ipmasq.core.verdict import Verdict
from ipmasq.core.window import is_in_window, is_within_reach
from ipmasq.wire import icmp, ip, ipv4, tcp, udp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.fragment import cut
from ipmasq.wire.header import IPV6, Header
from ipmasq.wire.packet import Packet

_SYN_ACK_RST_FIN = tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN


class SlowPath:
    def __init__(self, manager: FlowManager) -> None:
        self.manager = manager
        self.table = manager.table
        self._active = manager.active
        self._timers = manager.timers
        self._offloading = manager.offloading
        self._changes = manager.changes

    @property
    def _ttl_delta(self) -> int:
        return self._active.policy.ttl_delta

    def receive(self, packet: Packet, side: Side, now: float) -> Verdict:
        """Decide about any packet that is no ordinary one of an offloadable flow."""
        self.manager.now = now
        verdict = self._checked(packet, side)
        self.manager.counts[verdict.reason] += 1
        return verdict

    def _checked(self, packet: Packet, side: Side) -> Verdict:
        header = ip.read(packet.data)
        if header is None or header.family is IPV6:
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
        life = self.manager.now + self._active.policy.timeouts.fragment
        whole = self.manager.reassembly.add(packet, header, side, life)
        if isinstance(whole, Datagram):
            self._timers.set(whole, life)
            return Verdict(Reason.HELD)
        if isinstance(whole, Reason):
            return Verdict(whole)
        header = ip.read(whole.packet.data)
        assert header is not None
        verdict = self._by_protocol(whole.packet, header, side)
        return (
            verdict if verdict.reason is Reason.HOST else self._in_fragments(verdict, header, whole)
        )

    def _in_fragments(self, verdict: Verdict, before: Header, whole: Reassembled) -> Verdict:
        """Prepare a verdict for a datagram that came in fragments: what leaves gets an identification that
        its new source has not used and, with DF, fragments that are no larger."""
        packets: list[Packet] = []
        for packet in verdict.packets:
            data = packet.data
            source = bytes(data[12:16])
            if source != before.source:
                number = self.manager.identifications.take(source, bytes(data[16:20]), data[9])
                ipv4.replace(data, 4, number.to_bytes(2, "big"))
            if before.dont_fragment:
                packets += [Packet(each, note=packet.note) for each in cut(data, whole.largest)]
            else:
                packets.append(packet)
        return Verdict(verdict.reason, packets)

    def _by_protocol(self, packet: Packet, header: Header, side: Side) -> Verdict:
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

    def _without_flow(self, packet: Packet, header: Header, side: Side) -> Verdict:
        """Decide about a protocol that cannot be masqueraded; it may still pass, or be the host's."""
        source, destination = Endpoint(header.source, 0), Endpoint(header.destination, 0)
        answer = self.manager.admission.decide(header.protocol, source, destination, side)
        reason = Reason.UNSUPPORTED if isinstance(answer, Decision) else answer
        return self._onward(packet, header, side, reason)

    def _onward(self, packet: Packet, header: Header, side: Side, reason: Reason) -> Verdict:
        """Forward a packet without a flow untranslated (except for the time to live), or drop it and perhaps
        answer its sender."""
        if reason is Reason.PASSED:
            ip.change_ttl(packet.data, header.family, self._ttl_delta)
        if not reason.is_drop:
            return Verdict(reason, (packet,))
        if side is Side.OUTSIDE:
            return Verdict(reason)
        answer = self.manager.refusals.answer(packet, header, reason, self.manager.now)
        return Verdict(reason, () if answer is None else (answer,))

    def _tcp(self, packet: Packet, header: Header, segment: tcp.Segment, side: Side) -> Verdict:
        key = (
            header.source
            + header.destination
            + bytes(packet.data[header.length : header.length + 4])
        )
        half = self.table.find(side, ipv4.TCP, key)
        opens = segment.flags & _SYN_ACK_RST_FIN == tcp.SYN
        # Only its client can open it again (RFC 9293, 3.6.1), since anybody can forge a SYN.
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
        believed = (
            is_in_window(half, segment, payload, segment.acknowledgment)
            if flow.id not in self.manager.pickups
            else self._picked_up(packet, header, Noted(half, segment, payload), is_elsewhere)
        )
        if segment.flags & (tcp.SYN | tcp.FIN | tcp.RST):
            # Its receiver will drop a damaged segment, so it must not change the state.
            believed = believed and is_intact(packet, header)
        if believed:
            track(self.manager, half, segment, payload, segment.acknowledgment)
            if is_elsewhere:
                self._offloading.moved(half, before)
        if not flow.offloadable:
            self._changes.flow(flow.id)
        translate_packet(packet, header, half, self._ttl_delta)
        self._account(half, header.total, believed)
        return Verdict(Reason.TRANSLATED, (packet,))

    def _picked_up(self, packet: Packet, header: Header, noted: Noted, is_elsewhere: bool) -> bool:
        """Handle a segment of a flow whose positions are not known. Return whether it is believed."""
        (half, segment, payload), pickups = noted, self.manager.pickups
        if is_elsewhere:  # the fast path has reported them
            pickups.discard(half.flow.id)
            return is_in_window(half, segment, payload, segment.acknowledgment)
        if segment.flags & (tcp.FIN | tcp.RST) and not is_intact(packet, header):
            return False
        believed = pickups.note(noted)
        for each in believed[:-1]:
            track(self.manager, *each, each.segment.acknowledgment)
        if believed:  # a fast path that has forwarded everything is to leave to the engine what ends the connection
            self._offloading.command(half.flow)
        return bool(believed)

    def _reopen(self, packet: Packet, header: Header, segment: tcp.Segment, half: Half) -> None:
        """Handle a SYN of a live connection, which may belong to a newer one; see `reopening`."""
        flow, life = half.flow, self.manager
        if not is_intact(packet, header):
            return
        flags = segment.flags & _SYN_ACK_RST_FIN
        if flags == tcp.SYN:
            first = tcp.advance(segment.sequence, 1)
            old = (
                flow.inspector.began_at(first)
                if flow.inspector
                else is_within_reach(half, first, half.acknowledged, 1 << flow.reach)
            )
            if half is flow.original and not old:
                life.reopenings.note(flow.id, segment)
                self._changes.flow(flow.id)
        elif half is flow.reply and flags == tcp.SYN | tcp.ACK:
            syn = life.reopenings.take(flow.id, segment.acknowledgment)
            if syn is not None:
                self._changes.flow(flow.id)
                life.reopen(flow)
                self._offloading.command(flow)  # its positions are known from its beginning
                track(life, flow.original, syn, 0, 0)
                if flow.inspector is not None:
                    flow.inspector.open(syn, life.now)

    def _inspected(
        self,
        packet: Packet,
        header: Header,
        segment: tcp.Segment | None,
        half: Half,
        inspector: Inspector,
    ) -> Verdict:
        """Handle a packet of a flow that a helper inspects, or has inspected; TCP: its segment."""
        manager = self.manager
        self._changes.inspected(half.flow.id)
        done = inspector.receive(
            packet, header, segment, half.speaker, self._ttl_delta, manager.now
        )
        if done.reason is Reason.OUTDATED:
            # Its sender has shown that it is an end of the connection, so it is told, on whichever side it is.
            manager.end(half.flow, Reason.OUTDATED)
            answer = reset(packet, header)
            return Verdict(done.reason, () if answer is None else (answer,))
        if done.reason.is_drop:
            return Verdict(done.reason)
        if done.taken is not None:
            track(manager, half, done.taken, done.payload, done.acknowledgment)
        self._account(half, header.total, segment is None or done.taken is not None)
        if done.deadline < inf:
            manager.wait_for(inspector)
        if done.is_released:
            manager.leave(half.flow, inspector)
        if segment is None and header.dont_fragment:
            self._allow_fragments(done.packets, header, packet.segment)
        return Verdict(done.reason, done.packets)

    def _allow_fragments(self, packets: Sequence[Packet], before: Header, segment: int) -> None:
        """Clear DF of datagrams that have grown: their sender cannot make them smaller again. So each needs an
        identification that its new source has not used (RFC 6864, 4.3). `segment`: they came as one packet, to be
        cut into datagrams with so many bytes each (GSO)."""
        longest = before.length + udp.HEADER + segment if segment else before.total
        for packet in packets:
            data = packet.data
            if len(data) > longest and not packet.segment:
                number = self.manager.identifications.take(
                    bytes(data[12:16]), bytes(data[16:20]), before.protocol
                )
                ipv4.replace(data, 4, number.to_bytes(2, "big") + b"\0\0")

    def _udp(self, packet: Packet, header: Header, side: Side) -> Verdict:
        ports = bytes(packet.data[header.length : header.length + 4])
        half = self.table.find(side, ipv4.UDP, header.source + header.destination + ports)
        if half is None:
            source, destination = int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big")
            opened = self._open(packet, header, source, destination, side)
            if isinstance(opened, Reason):
                return self._onward(packet, header, side, opened)
            half = opened.original
        if half.flow.inspector is not None:
            return self._inspected(packet, header, None, half, half.flow.inspector)
        translate_packet(packet, header, half, self._ttl_delta)
        self._account(half, header.total)
        self._note_datagram(half)
        self.manager.judge_offloadable(half.flow)
        return Verdict(Reason.TRANSLATED, (packet,))

    def _icmp(self, packet: Packet, header: Header, side: Side) -> Verdict:
        kind = packet.data[header.length]
        if kind in icmp.ERRORS:
            if self.manager.admission.is_spoofed(header.source, side) or is_martian(header.source):
                return Verdict(Reason.SPOOFED)
            reason = translate_error(
                packet,
                header,
                side,
                self.table,
                self._ttl_delta,
                self._offloading.sync,
                self._changes,
            )
            if reason is Reason.ICMP_UNRELATED and would_pass(
                self.manager.admission, packet.data, header, side
            ):
                return self._onward(packet, header, side, Reason.PASSED)
            # An error about a flow of the host's own belongs to the host.
            if reason is Reason.ICMP_UNRELATED and header.destination in self._active.policy.own:
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
        self._note_datagram(half)
        return Verdict(Reason.TRANSLATED, (packet,))

    def _account(self, half: Half, size: int, believed: bool = True) -> None:
        """Count a packet of a flow that is forwarded. A segment out of window does not keep the flow alive."""
        half.packets += 1
        half.bytes += size
        if believed:
            half.flow.last_seen = self.manager.now

    def _note_datagram(self, half: Half) -> None:
        """Mark a flow as changed for its first two packets in each direction, which decide whether it is
        confirmed; the record may lag behind later ones, as it does for packets that the engine does not see."""
        if half.packets <= 2:
            self._changes.flow(half.flow.id)

    def _open(
        self,
        packet: Packet,
        header: Header,
        source_port: int,
        destination_port: int,
        side: Side,
        opens: bool = True,
    ) -> Flow | Reason:
        source = Endpoint(header.source, source_port)
        destination = Endpoint(header.destination, destination_port)
        first = FirstPacket(header.protocol, source, destination, side)
        opened = open_flow(self.manager, first, opens, partial(is_intact, packet, header))
        if opened is Reason.FILTERED and opens and side is Side.OUTSIDE:
            self.manager.announcements.miss(header.protocol, destination, source)
        return opened
