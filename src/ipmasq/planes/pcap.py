"""Reads packets from one capture and writes them to another: offline, without root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from ipmasq.core.side import Side
from ipmasq.wire import capture, ethernet, partial, pcapng
from ipmasq.wire.addresses import Network, within
from ipmasq.wire.ethernet import Frame
from ipmasq.wire.packet import Packet
from ipmasq.wire.record import Interface, Record


class Sides(Protocol):
    """Determines from which side a captured packet came."""

    def side(self, record: Record, frame: Frame) -> Side | None:
        """Return the side of a packet, or None if it belongs to neither."""

    def name(self, side: Side) -> str:
        """Return the name of the interface on which packets leave to this side."""


class _PlainNames:
    def name(self, side: Side) -> str:
        return side.name.lower()


@dataclass(frozen=True)
class ByNetwork(_PlainNames):
    """Packets are from inside if the source address is in one of these networks, else from outside; they are
    from neither side if their IP version is not that of any network."""

    inside: tuple[Network, ...]

    def side(self, record: Record, frame: Frame) -> Side | None:
        source = _source(frame.packet)
        if all(len(network.address) != len(source) for network in self.inside):
            return None
        return Side.INSIDE if within(source, self.inside) else Side.OUTSIDE


@dataclass(frozen=True)
class ByMac(_PlainNames):
    """Packets are from inside if the source hardware address is one of these. If `outside` is empty, all
    others with a hardware address are from outside."""

    inside: frozenset[bytes]
    outside: frozenset[bytes] = frozenset()

    def side(self, record: Record, frame: Frame) -> Side | None:
        if frame.source in self.inside:
            return Side.INSIDE
        known = frame.source in self.outside if self.outside else bool(frame.source)
        return Side.OUTSIDE if known else None


@dataclass(frozen=True)
class ByInterface:
    """By the name of the interface on which a packet was captured (pcapng); classic captures have none."""

    inside: tuple[str, ...]
    outside: tuple[str, ...]

    def side(self, record: Record, frame: Frame) -> Side | None:
        name = record.interface.name
        if name in self.inside:
            return Side.INSIDE
        return Side.OUTSIDE if name in self.outside else None

    def name(self, side: Side) -> str:
        names = self.inside if side is Side.INSIDE else self.outside
        return names[0] if names else side.name.lower()


class Arrival(NamedTuple):
    """A captured packet. `packet` and `side` are None if it is not for the gateway, for `reason`."""

    record: Record
    frame: Frame | None
    packet: Packet | None
    side: Side | None
    reason: str


NOT_IP = "carries no IP packet"
NEITHER = "comes from neither side"
CUT = "was cut short when it was captured"


class PcapPlane:
    """Reads one capture and writes another, always pcapng. Nothing after damage is read."""

    def __init__(self, source: BinaryIO, target: BinaryIO, sides: Sides) -> None:
        self._source = source
        self._writer = pcapng.Writer(target)
        self._sides = sides

    def arrivals(self) -> Iterator[Arrival]:
        """Yield the packets. Raises CaptureError at the first damage, after everything before it."""
        for record in capture.read(self._source):
            yield self._arrival(record)

    def copy(self, arrival: Arrival, comments: Iterable[str] = ()) -> None:
        """Write the packet as it came, on the interface where it came."""
        record = arrival.record
        self._writer.write(record._replace(comments=(*record.comments, *comments)))

    def send(
        self, arrival: Arrival, packet: Packet, side: Side, comments: Iterable[str] = ()
    ) -> None:
        """Write a packet that leaves to `side` because of `arrival`, in a frame like the one that arrived
        (reversed, if it goes to the sender). An unfinished checksum is finished."""
        data = bytearray(packet.data)
        if packet.partial:
            partial.complete(data)
        frame = arrival.frame
        assert frame is not None
        if data[16:20] == frame.packet[12:16]:
            frame = frame.turned()
        whole = frame.around(bytes(data))
        interface = Interface(self._sides.name(side), arrival.record.interface.link)
        self._writer.write(
            Record(
                arrival.record.at,
                interface,
                whole,
                len(whole),
                (*arrival.record.comments, *comments),
            )
        )

    def _arrival(self, record: Record) -> Arrival:
        frame = ethernet.read(record.interface.link, record.data)
        if frame is None:
            return Arrival(record, None, None, None, NOT_IP)
        side = self._sides.side(record, frame)
        if side is None:
            return Arrival(record, frame, None, None, NEITHER)
        if record.length > len(record.data) and not _is_whole(frame):
            return Arrival(record, frame, None, None, CUT)
        packet = Packet(bytearray(frame.packet), partial.is_partial(frame.packet))
        return Arrival(record, frame, packet, side, "")


def _source(packet: bytes) -> bytes:
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def _is_whole(frame: Frame) -> bool:
    """Return whether only bytes after the IP packet were truncated."""
    packet = frame.packet
    claimed = packet[2:4] if packet[0] >> 4 == 4 else packet[4:6]
    header = 0 if packet[0] >> 4 == 4 else 40
    return int.from_bytes(claimed, "big") + header == len(packet)
