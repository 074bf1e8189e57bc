"""A TCP conversation through the engine, segment by segment.

    talk = Conversation(policy)
    talk.open()
    talk.client(b"PORT 10,0,0,2,4,1\\r\\n").arrives(b"PORT 203,0,113,1,")

Positions are bytes from the first one that a side said, as that side counts. Every packet that comes out
is parsed again and all its checksums are verified.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event
from ipmasq.core.flow import Flow
from ipmasq.core.policy import HelperUse, Policy
from ipmasq.core.side import Side
from ipmasq.core.verdict import Verdict
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire import ipv4, tcp
from ipmasq.wire.addresses import Endpoint, to_address, to_network
from ipmasq.wire.checksum import finish, fold, pseudo_header_sum
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import ACK, FIN, PSH, RST, SYN, URG, Segment

INSIDE = Endpoint(to_address("10.0.0.2"), 40000)
OUTSIDE = Endpoint(to_address("198.51.100.1"), 21)
PUBLIC = to_address("203.0.113.1")
FTP = HelperUse("ftp", Ftp, ipv4.TCP, frozenset((21,)), True)


def policy(**settings: object) -> Policy:
    values: dict[str, object] = {
        "inside": (to_network("10.0.0.0/24"),),
        "public": (PUBLIC,),
        "own": frozenset((PUBLIC, to_address("10.0.0.1"))),
        "helpers": (FTP,),
    }
    return Policy(**{**values, **settings})  # type: ignore[arg-type]


def build(
    source: Endpoint, destination: Endpoint, segment: Segment, payload: bytes = b""
) -> Packet:
    """A packet with all checksums right."""
    data = tcp.write(
        segment._replace(source_port=source.port, destination_port=destination.port), payload
    )
    start = pseudo_header_sum(source.address, destination.address, ipv4.TCP, len(data))
    data[16:18] = finish(fold(data, start)).to_bytes(2, "big")
    return Packet(ipv4.write(source.address, destination.address, ipv4.TCP, data))


class Seen(NamedTuple):
    """A packet that came out, read again."""

    source: Endpoint
    destination: Endpoint
    segment: Segment
    payload: bytes
    size: int


def read(packet: Packet) -> Seen:
    header = ipv4.read(packet.data)
    assert header is not None
    assert header.total == len(packet.data)
    assert ipv4.is_intact(packet.data, header)
    rest = bytes(packet.data[header.length :])
    start = pseudo_header_sum(header.source, header.destination, ipv4.TCP, len(rest))
    assert fold(rest, start) == 0xFFFF, "TCP checksum"
    segment = tcp.read(rest)
    assert segment is not None
    return Seen(
        Endpoint(header.source, segment.source_port),
        Endpoint(header.destination, segment.destination_port),
        segment,
        rest[segment.length :],
        header.total,
    )


class Outcome:
    """What came of one segment."""

    def __init__(self, talk: Conversation, side: Side, verdict: Verdict) -> None:
        self.verdict = verdict
        self.reason = verdict.reason
        seen = [read(packet) for packet in verdict.packets]
        back = talk.endpoint(side)
        self.through = [each for each in seen if each.destination != back]
        """Went to the other end."""
        self.answers = [each for each in seen if each.destination == back]
        """Went back to the sender, in the other end's name."""
        other = talk.first[side]
        self.spans = [(tcp.distance(other, s.segment.sequence), s.payload) for s in self.through]

    @property
    def payload(self) -> bytes:
        return b"".join(each.payload for each in self.through)

    @property
    def one(self) -> Seen:
        (only,) = self.through
        return only


class Conversation:
    """`first`: by side, the sequence number of the first byte that this side says."""

    def __init__(
        self,
        settings: Policy | None = None,
        client_first: int = 1000,
        server_first: int = 900_000,
        mss: int = 1460,
        options: bytes = b"",
        permits: bytes = b"",
        seed: int = 1,
    ) -> None:
        self.engine = Engine(settings or policy(), Random(seed).randrange, 0.0)
        self.now = 0.0
        self.first = {Side.INSIDE: client_first, Side.OUTSIDE: server_first}
        self.said = {Side.INSIDE: 0, Side.OUTSIDE: 0}
        self.heard = {Side.INSIDE: 0, Side.OUTSIDE: 0}
        self.mss = mss
        self.options = options
        self.permits = permits
        self.public = Endpoint(PUBLIC, 0)
        self.events: list[Event] = []

    def endpoint(self, side: Side) -> Endpoint:
        return INSIDE if side is Side.INSIDE else OUTSIDE

    @property
    def flow(self) -> Flow:
        return next(flow for flow in self.engine.table.flows.values() if flow.inspector)

    def open(self) -> Conversation:
        """The handshake."""
        mss = b"\x02\x04" + self.mss.to_bytes(2, "big") + self.permits
        syn = self.send(Side.INSIDE, b"", -1, flags=SYN, options=mss)
        self.public = syn.one.source
        self.send(Side.OUTSIDE, b"", -1, flags=SYN | ACK, options=mss)
        self.send(Side.INSIDE, b"")
        return self

    def client(self, text: bytes, at: int | None = None, **more: int | bytes) -> Outcome:
        """The client says something: next, or again at position `at`."""
        return self._say(Side.INSIDE, text, at, **more)

    def server(self, text: bytes, at: int | None = None, **more: int | bytes) -> Outcome:
        return self._say(Side.OUTSIDE, text, at, **more)

    def _say(self, side: Side, text: bytes, at: int | None, **more: int | bytes) -> Outcome:
        position = self.said[side] if at is None else at
        self.said[side] = max(self.said[side], position + len(text))
        return self.send(side, text, position, **more)

    def hears(self, side: Side, position: int, **more: int | bytes) -> Outcome:
        """`side` acknowledges everything before `position`, as it counts what it hears."""
        self.heard[side] = position
        return self.send(side, b"", self.said[side], **more)

    def send(
        self,
        side: Side,
        text: bytes,
        position: int | None = None,
        flags: int = ACK | PSH,
        urgent: int = 0,
        window: int = 60000,
        options: bytes | None = None,
    ) -> Outcome:
        ack = tcp.advance(self.first[side.other], self.heard[side]) if flags & ACK else 0
        sequence = tcp.advance(self.first[side], self.said[side] if position is None else position)
        used = self.options if options is None else options
        segment = Segment(0, 0, sequence, ack, flags, window, 0, urgent, used)
        if side is Side.INSIDE:
            packet = build(INSIDE, OUTSIDE, segment, text)
        else:
            packet = build(OUTSIDE, self.public, segment, text)
        outcome = Outcome(self, side, self.engine.receive(packet, side, self.now))
        self.engine.check()
        self.events += self.engine.events()
        return outcome

    def later(self, seconds: float) -> Conversation:
        self.now += seconds
        self.engine.tick(self.now)
        self.engine.check()
        self.events += self.engine.events()
        return self

    def acked(self, seen: Seen, side: Side) -> int:
        """What a packet to `side` acknowledges, in `side`'s own positions."""
        return tcp.distance(self.first[side], seen.segment.acknowledgment)


__all__ = ["ACK", "FIN", "PSH", "RST", "SYN", "URG", "Conversation", "Side", "policy"]
