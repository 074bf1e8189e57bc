"""Replays the outside hosts as they would have answered behind this gateway.

A capture taken without a gateway shows outside hosts that answer to inside addresses. Behind this gateway the
same hosts would have answered to the public endpoints that they saw, and acknowledged the bytes that they
received. The engine's events tell which those are.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.policy import Policy
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.wire import ipv4, tcp
from ipmasq.wire.addresses import Endpoint, within
from ipmasq.wire.checksum import adjust, difference
from ipmasq.wire.endpoints import ends
from ipmasq.wire.packet import Packet

_CHECKSUM = {ipv4.TCP: 16, ipv4.UDP: 6, ipv4.ICMP: 2}


@dataclass
class _Conversation:
    """A flow as the outside sees it, and how the bytes that its inside end sent were changed."""

    public: Endpoint
    opened_by: Side
    first: int | None = None
    """Sequence number of the inside end's first byte."""
    edges: list[int] = field(default_factory=list)
    """Positions (in what the inside end sent) after each rewritten line, and the bytes added up to there."""
    added: list[int] = field(default_factory=list)

    def shifted(self, acknowledgment: int) -> int:
        if self.first is None:
            return acknowledgment
        count = bisect_right(self.edges, tcp.distance(self.first, acknowledgment))
        return tcp.advance(acknowledgment, self.added[count - 1]) if count else acknowledgment


class FarEnd:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._conversations: dict[tuple[int, Endpoint, Endpoint], _Conversation] = {}
        """By protocol, inside and remote endpoint."""
        self._keys: dict[int, tuple[int, Endpoint, Endpoint]] = {}
        """By the number of the flow."""
        self._announced: dict[tuple[int, Endpoint], Endpoint] = {}
        """Public endpoints by announced ones."""

    def learn(self, event: Event) -> None:
        """Follow an event of the engine."""
        match event:
            case events.FlowOpened():
                key = event.protocol, event.inside, event.remote
                self._keys[event.flow] = key
                self._conversations[key] = _Conversation(event.public, event.opened_by)
            case events.FlowClosed():
                self._conversations.pop(self._keys.pop(event.flow), None)
            case events.Expected():
                self._announced[event.protocol, event.announced] = event.public
            case events.Rewritten():
                self._rewritten(event)

    def heard(self, packet: bytes) -> None:
        """Remember where the sequence numbers of an inside host begin."""
        found = self._find(packet, Side.INSIDE)
        segment = _segment(packet) if found and found.first is None else None
        if found and segment:
            found.first = tcp.advance(segment.sequence, 1 if segment.flags & tcp.SYN else 0)

    def adopt(self, packet: Packet) -> Endpoint | None:
        """Change a packet from outside to an inside address into what it would have been. Return its new
        public endpoint, or None if it is unchanged."""
        tuple_ = ends(packet.data)
        if tuple_ is None or not _is_whole(packet.data):
            return None
        protocol, _, destination = tuple_
        if not self._is_inside(destination):
            return None
        found = self._find(packet.data, Side.OUTSIDE)
        public = found.public if found else self._published(protocol, destination)
        if public is None:
            return None
        if found and protocol == ipv4.TCP:
            _shift(packet, found)
        _readdress(packet, protocol, public)
        return public

    def _rewritten(self, event: events.Rewritten) -> None:
        found = self._conversations.get(self._keys[event.flow])
        if found is None or (event.speaker is Speaker.CLIENT) != (found.opened_by is Side.INSIDE):
            return
        found.edges.append(event.position + len(event.before))
        before = found.added[-1] if found.added else 0
        found.added.append(before + len(event.after) - len(event.before))

    def _find(self, packet: bytes | bytearray | memoryview, side: Side) -> _Conversation | None:
        tuple_ = ends(packet)
        if tuple_ is None:
            return None
        protocol, source, destination = tuple_
        if side is Side.OUTSIDE:
            source, destination = destination, source
        if protocol == ipv4.ICMP:
            destination = Endpoint(destination.address, 0)
        return self._conversations.get((protocol, source, destination))

    def _published(self, protocol: int, destination: Endpoint) -> Endpoint | None:
        public = self._announced.get((protocol, destination))
        if public:
            return public
        for forward in self._policy.forwards:
            ports = forward.inside_ports
            reached = (forward.protocol, forward.inside) == (protocol, destination.address)
            if reached and destination.port in ports:
                address = forward.public or self._policy.public[0]
                return Endpoint(address, forward.ports.low + destination.port - ports.low)
        return None

    def _is_inside(self, end: Endpoint) -> bool:
        return within(end.address, self._policy.inside)


def _is_whole(data: bytes | bytearray | memoryview) -> bool:
    """Return whether the packet has the whole L4 header. A limitation: a datagram that came in fragments is
    not adopted, as only its first fragment has the port."""
    header = ipv4.read(data)
    if header is None or header.is_fragment or header.protocol not in _CHECKSUM:
        return False
    return header.protocol != ipv4.TCP or _segment(data) is not None


def _shift(packet: Packet, conversation: _Conversation) -> None:
    """Acknowledge what arrived outside instead of what the inside end sent."""
    segment = _segment(packet.data)
    if segment is None or not segment.flags & tcp.ACK or not conversation.edges:
        return
    start = (packet.data[0] & 0x0F) * 4
    new = conversation.shifted(segment.acknowledgment)
    _replace(packet, start, start + 8, new.to_bytes(4, "big"))
    options = tcp.map_sack(segment.options, lambda edge, _: conversation.shifted(edge))
    if options != segment.options:
        _replace(packet, start, start + tcp.HEADER, options)


def _readdress(packet: Packet, protocol: int, public: Endpoint) -> None:
    data = packet.data
    start = (data[0] & 0x0F) * 4
    change = difference(bytes(data[16:20]), public.address)
    at = start + _CHECKSUM[protocol]
    if packet.partial:
        # The field is uncomplemented and covers the pseudo-header only.
        total = int.from_bytes(data[at : at + 2], "big") + change
        data[at : at + 2] = ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
    elif protocol != ipv4.ICMP:
        _adjust(packet, at, change)
    ipv4.replace(data, 16, public.address)
    port = start + (4 if protocol == ipv4.ICMP else 2)
    _replace(packet, start, port, public.port.to_bytes(2, "big"))


def _replace(packet: Packet, start: int, at: int, text: bytes) -> None:
    """Put `text` into the L4 header that begins at `start`."""
    data = packet.data
    before = bytes(data[at : at + len(text)])
    data[at : at + len(text)] = text
    if not packet.partial:
        _adjust(packet, start + _CHECKSUM[data[9]], difference(before, text))


def _adjust(packet: Packet, at: int, change: int) -> None:
    data = packet.data
    old = int.from_bytes(data[at : at + 2], "big")
    udp = data[9] == ipv4.UDP
    if udp and not old:
        return
    new = adjust(old, change) or (0xFFFF if udp else 0)
    data[at : at + 2] = new.to_bytes(2, "big")


def _segment(data: bytes | bytearray | memoryview) -> tcp.Segment | None:
    header = ipv4.read(data)
    if header is None or header.protocol != ipv4.TCP or header.offset:
        return None
    return tcp.read(memoryview(data)[header.length : header.total])
