"""Link layers: finds the IP packet in a captured frame, and builds the frame around a changed packet.

Ethernet (with 802.1Q and QinQ tags), Linux cooked captures (SLL, SLL2), BSD loopback (NULL, LOOP) and raw IP
are known. Link types are numbered as in capture files (tcpdump.org/linktypes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

NULL, ETHERNET, RAW_OLD, RAW, LOOP, SLL, RAW_IPV4, RAW_IPV6, SLL2 = (
    0, 1, 12, 101, 108, 113, 228, 229, 276,
)  # fmt: skip
IPV4, IPV6 = 0x0800, 0x86DD
TAGS = (0x8100, 0x88A8, 0x9100)
SHORTEST = 60
"""Bytes of the shortest Ethernet frame (IEEE 802.3), without its frame check sequence."""
_FAMILIES = {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}
"""AF_INET and the AF_INET6 of Linux and the BSDs. NULL has it in the byte order of the capturing host."""


class Frame(NamedTuple):
    """A frame is `head` + `packet` + `tail`, where `tail` is padding or a frame check sequence. Hardware
    addresses are empty where the link layer has none or does not record it."""

    head: bytes
    packet: bytes
    tail: bytes
    source: bytes
    destination: bytes

    def around(self, packet: bytes) -> bytes:
        """Return the frame with another packet in it. A padded frame is padded again; a frame check sequence
        is not computed."""
        frame = self.head + packet
        return frame.ljust(SHORTEST, b"\0") if self.tail and self.destination else frame

    def turned(self) -> Frame:
        """Return the frame of an answer: source and destination are exchanged if both are known."""
        if not self.destination:
            return self
        size = len(self.source)
        head = self.source + self.destination + self.head[2 * size :]
        return self._replace(head=head, source=self.destination, destination=self.source)


def read(link: int, data: bytes) -> Frame | None:
    """Parse a frame. Return None if it carries no IP packet or the link type is unknown."""
    reader = _READERS.get(link)
    found = reader(data) if reader else None
    if found is None:
        return None
    size, kind, source, destination = found
    packet = data[size:]
    if not packet or packet[0] >> 4 != (4 if kind == IPV4 else 6):
        return None
    length = _total_length(packet, kind)
    return Frame(data[:size], packet[:length], packet[length:], source, destination)


_Found = tuple[int, int, bytes, bytes] | None
"""Bytes before the packet, its EtherType, source and destination."""


def _ethernet(data: bytes) -> _Found:
    at = 12
    while data[at : at + 2] and _number(data, at) in TAGS:
        at += 4
    if len(data) < at + 2 or _number(data, at) not in (IPV4, IPV6):
        return None
    return at + 2, _number(data, at), data[6:12], data[:6]


def _sll(data: bytes) -> _Found:
    if len(data) < 16 or _number(data, 14) not in (IPV4, IPV6):
        return None
    size = min(_number(data, 4), 8)
    return 16, _number(data, 14), data[6 : 6 + size], b""


def _sll2(data: bytes) -> _Found:
    if len(data) < 20 or _number(data, 0) not in (IPV4, IPV6):
        return None
    size = min(data[11], 8)
    return 20, _number(data, 0), data[12 : 12 + size], b""


def _loopback(data: bytes) -> _Found:
    # An address family is a small number, so the half of the word that it is in tells the byte order.
    family = _number(data, 0) or _number(data, 2)
    family = family >> 8 if family > 0xFF else family
    kind = _FAMILIES.get(family)
    return (4, kind, b"", b"") if kind and len(data) > 4 else None


def _raw(data: bytes) -> _Found:
    return (0, IPV6 if data and data[0] >> 4 == 6 else IPV4, b"", b"")


_READERS: dict[int, Callable[[bytes], _Found]] = {
    ETHERNET: _ethernet,
    SLL: _sll,
    SLL2: _sll2,
    NULL: _loopback,
    LOOP: _loopback,
    RAW_OLD: _raw,
    14: _raw,  # OpenBSD's number for RAW
    RAW: _raw,
    RAW_IPV4: _raw,
    RAW_IPV6: _raw,
}


def _total_length(packet: bytes, kind: int) -> int:
    """Return the length that the packet states; if that is impossible, all of its bytes (the IP parser
    rejects it)."""
    total = _number(packet, 2) if kind == IPV4 else 40 + _number(packet, 4)
    least = 20 if kind == IPV4 else 41
    return total if least <= total <= len(packet) else len(packet)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
