"""Reassembles fragments before any other part sees them (RFC 791, 3.2; attacks A-32, A-33).

Datagrams and bytes are limited for each source and for each side. Invalid fragments (overlap, impossible
holes, excess length) discard the whole datagram.

A reassembled datagram that may be fragmented leaves as it is; the plane fragments it again if necessary. If
its largest fragment carried DF, it must leave in fragments that are no larger, with DF: as a whole it would
be too long for a path MTU that its sender has discovered (like Linux, ip_fragment and IPSKB_FRAG_PMTU).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from ipmasq.core.changes import Changes, Kind
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.timers import Bucket
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address
from ipmasq.wire.header import Header
from ipmasq.wire.packet import Packet

Key = tuple[Side, Address, Address, int, int]
LARGEST = 65535
MOST_PIECES = 128
SHARES = 4
"""One source may have this fraction of a side's datagrams."""


class Reassembled(NamedTuple):
    """A datagram that was reassembled. It has DF if the largest fragment did."""

    packet: Packet
    largest: int
    """Bytes of its largest fragment."""


class Datagram:
    """A datagram that is being reassembled. `pieces` is payload by offset in bytes."""

    __slots__ = (
        "due",
        "first",
        "key",
        "largest",
        "length",
        "number",
        "pieces",
        "unbroken",
        "until",
    )

    def __init__(self, key: Key, until: float) -> None:
        self.key = key
        self.number = 0
        """The higher, the newer."""
        self.until = until
        self.due: Bucket[Any] | None = None
        self.first: bytes | None = None
        """Header of the fragment with offset 0."""
        self.length: int | None = None
        """Payload bytes of the datagram, once the last fragment has arrived."""
        self.pieces: dict[int, bytes] = {}
        self.largest = 0
        """Bytes of the largest fragment; `unbroken` is that of the largest fragment with DF."""
        self.unbroken = 0

    def to_state(self, now: float) -> Plain:
        """Return it as plain values."""
        return {
            "key": list(self.key),
            "until": self.until - now,
            "due": None if self.due is None else self.due.moment - now,
            "first": self.first,
            "length": self.length,
            "pieces": [[offset, piece] for offset, piece in self.pieces.items()],
            "largest": self.largest,
            "unbroken": self.unbroken,
        }

    @classmethod
    def from_state(cls, state: Fields, now: float) -> Datagram:
        """Return the datagram of a state. Raises StateError."""
        key = state.fields("key")
        side, source, destination = key.choice(0, Side), key.address(1), key.address(2)
        made = cls(
            (side, source, destination, key.integer(3, 0, 255), key.integer(4, 0, 0xFFFF)),
            state.moment("until", now),
        )
        made.first = state.blob_or_none("first")
        made.length = state.integer_or_none("length", 0, LARGEST)
        for piece in state.rows("pieces"):
            made.pieces[piece.integer(0, 0, LARGEST)] = piece.blob(1)
        made.largest = state.integer("largest", 0, LARGEST)
        made.unbroken = state.integer("unbroken", 0, LARGEST)
        return made


Ordered: TypeAlias = OrderedDict[Key, Datagram]


class Reassembly:
    def __init__(self, most: int, changes: Changes | None = None) -> None:
        self._changes = changes or Changes()
        self.begun = 0
        """The number of the newest datagram."""
        self.most = most
        """The most datagrams of one side, so that a flood from outside does not affect those from inside."""
        # Not dicts, which take long to find their first item after many were removed from their beginning.
        self._sides: tuple[Ordered, Ordered] = (OrderedDict(), OrderedDict())
        """Oldest first."""
        self.numbered: dict[int, Datagram] = {}
        self._sources: dict[tuple[Side, Address], int] = {}
        """Number of datagrams by source."""

    def __len__(self) -> int:
        return sum(map(len, self._sides))

    def __contains__(self, datagram: Datagram) -> bool:
        return self._sides[datagram.key[0]].get(datagram.key) is datagram

    def count(self, side: Side) -> int:
        """Return the number of datagrams of a side that are being reassembled."""
        return len(self._sides[side])

    @property
    def share(self) -> int:
        """The most datagrams of one source."""
        return max(1, self.most // SHARES)

    def add(
        self, packet: Packet, header: Header, side: Side, until: float
    ) -> Reassembled | Datagram | Reason:
        """Add a fragment. Return the whole datagram if this was the last missing fragment; the incomplete
        datagram if it was the first to arrive (so that a timer can be set); otherwise HELD, or why the
        datagram was discarded."""
        key = (side, header.source, header.destination, header.protocol, header.identification)
        datagram = self._sides[side].get(key)
        new = datagram is None
        if datagram is None:
            datagram = self._begin(key, until)
            if datagram is None:
                return Reason.FRAGMENT_LIMIT
        payload = bytes(packet.data[header.length : header.total])
        if not _fits(datagram, header, payload):
            self.forget(datagram)
            return Reason.FRAGMENT_LIMIT
        datagram.pieces[header.offset] = payload
        datagram.largest = max(datagram.largest, header.total)
        if header.dont_fragment:
            datagram.unbroken = max(datagram.unbroken, header.total)
        if header.offset == 0 and datagram.first is None:
            datagram.first = bytes(packet.data[: header.length])
        if not header.more_fragments:
            datagram.length = header.offset + len(payload)
        whole = _join(datagram)
        if whole is None:
            return datagram if new else Reason.HELD
        self.forget(datagram)
        return Reassembled(Packet(whole, note=packet.note), datagram.largest)

    def __iter__(self) -> Iterator[Datagram]:
        """Iterate over the datagrams, those of each side oldest first."""
        return iter([each for side in self._sides for each in side.values()])

    def restore(self, number: int, state: Fields, now: float) -> Datagram:
        """Enter a datagram of a state, oldest first. Raises StateError."""
        made = Datagram.from_state(state, now)
        made.number, self.begun = number, max(number, self.begun)
        side, source, *_ = made.key
        self._sides[side][made.key] = self.numbered[number] = made
        self._sources[side, source] = self._sources.get((side, source), 0) + 1
        return made

    def _begin(self, key: Key, until: float) -> Datagram | None:
        """Return a new datagram, or None if its source has its share already. If the side has reached its
        limit, the oldest datagram is dropped: its fragments have had the longest time to arrive."""
        side, source, *_ = key
        count = self._sources.get((side, source), 0)
        if count >= self.share:
            return None
        known = self._sides[side]
        while len(known) >= self.most:
            self.forget(next(iter(known.values())))
        self._sources[side, source] = self._sources.get((side, source), 0) + 1
        datagram = known[key] = Datagram(key, until)
        self.begun += 1
        datagram.number = self.begun
        self.numbered[datagram.number] = datagram
        return datagram

    def forget(self, datagram: Datagram) -> bool:
        """Discard the datagram. Return whether it was still here."""
        side, source, *_ = datagram.key
        if datagram not in self:
            return False
        self._changes.other(Kind.DATAGRAM, datagram.number)
        del self._sides[side][datagram.key], self.numbered[datagram.number]
        self._sources[side, source] -= 1
        if not self._sources[side, source]:
            del self._sources[side, source]
        datagram.pieces.clear()  # its timer keeps the other attributes alive
        return True


def _fits(datagram: Datagram, header: Header, payload: bytes) -> bool:
    """Return whether a fragment agrees with the earlier ones; an exact duplicate does."""
    start, end = header.offset, header.offset + len(payload)
    if datagram.pieces.get(start) == payload:
        return True
    if not payload or len(datagram.pieces) >= MOST_PIECES:
        return False
    if header.more_fragments and len(payload) % 8:
        return False
    known = datagram.length
    if known is not None and (end > known or not header.more_fragments):
        return False
    ends = [at + len(piece) for at, piece in datagram.pieces.items()]
    if _header_length(datagram, header) + max(end, *ends, 0) > LARGEST:
        return False
    overlaps = any(start < at + len(p) and at < end for at, p in datagram.pieces.items())
    return not overlaps and (header.more_fragments or all(each <= end for each in ends))


def _header_length(datagram: Datagram, header: Header) -> int:
    """Return the bytes of the whole datagram's header, which is that of the first fragment: the others carry
    fewer options (RFC 791, 3.1). Before the first has arrived, it is the minimum."""
    if datagram.first is not None:
        return len(datagram.first)
    return header.length if header.offset == 0 else ipv4.HEADER


def _join(datagram: Datagram) -> bytearray | None:
    if datagram.first is None or datagram.length is None:
        return None
    if sum(map(len, datagram.pieces.values())) != datagram.length:
        return None
    whole = bytearray(datagram.first)
    for _, piece in sorted(datagram.pieces.items()):
        whole += piece
    ipv4.replace(whole, 2, len(whole).to_bytes(2, "big"))
    fragment = ipv4.DONT_FRAGMENT if datagram.unbroken == datagram.largest else 0
    ipv4.replace(whole, 6, fragment.to_bytes(2, "big"))
    return whole
