"""IPv4 (RFC 791).

offset  0        1        2..3          4..5            6..7            8    9         10..11    12..15  16..19
field   ver|ihl  tos      total length  identification  flags|fragment  ttl  protocol  checksum  source  destination
"""

from __future__ import annotations

import struct

from ipmasq.wire.addresses import Address
from ipmasq.wire.checksum import adjust, finish, fold
from ipmasq.wire.header import Header
from ipmasq.wire.packet import Buffer

ICMP, TCP, UDP = 1, 6, 17
HEADER = 20
DONT_FRAGMENT = 0x4000
MORE_FRAGMENTS = 0x2000
OFFSET_MASK = 0x1FFF

_FIXED = struct.Struct("!BBHHHBBH4s4s")


def read(data: bytes | Buffer) -> Header | None:
    """Parse the header. Return None unless it is a whole IPv4 header whose lengths make sense within `data`.

    The header checksum is left to `is_intact`. Bytes beyond the total length (padding of the link layer) are
    not an error.
    """
    if len(data) < HEADER:
        return None
    first, _, total, identification, fragment, ttl, protocol, _, source, destination = (
        _FIXED.unpack_from(data)
    )
    length = (first & 0x0F) * 4
    if first >> 4 != 4 or length < HEADER or not length <= total <= len(data):
        return None
    return Header(
        length,
        total,
        identification,
        bool(fragment & DONT_FRAGMENT),
        bool(fragment & MORE_FRAGMENTS),
        (fragment & OFFSET_MASK) * 8,
        ttl,
        protocol,
        source,
        destination,
    )


def is_intact(data: bytes | Buffer, header: Header) -> bool:
    """Return whether the header checksum is right."""
    return fold(data[: header.length]) == 0xFFFF


def write(
    source: Address,
    destination: Address,
    protocol: int,
    payload: bytes | Buffer,
    ttl: int = 64,
    identification: int = 0,
    fragment: int = DONT_FRAGMENT,
) -> bytearray:
    """Build a packet without options around `payload`; `fragment` is the flags-and-offset field."""
    data = bytearray(HEADER + len(payload))
    _FIXED.pack_into(
        data, 0, 0x45, 0, len(data), identification, fragment, ttl, protocol, 0, source, destination
    )
    data[HEADER:] = payload
    set_checksum(data, HEADER)
    return data


def set_checksum(data: Buffer, length: int) -> None:
    """Compute the header checksum anew. This is only for packets that the gateway itself makes."""
    data[10:12] = b"\0\0"
    data[10:12] = finish(fold(data[:length])).to_bytes(2, "big")


def replace(data: Buffer, offset: int, text: bytes) -> None:
    """Put `text` (even length, even offset) into the header, updating its checksum incrementally."""
    before = fold(data[offset : offset + len(text)])
    data[offset : offset + len(text)] = text
    checksum = adjust(int.from_bytes(data[10:12], "big"), fold(text, 0xFFFF - before))
    data[10:12] = checksum.to_bytes(2, "big")
