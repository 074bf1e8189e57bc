"""UDP (RFC 768).

offset  0..1         2..3              4..5    6..7
field   source port  destination port  length  checksum
"""

from __future__ import annotations

from ipmasq.wire.header import Header
from ipmasq.wire.packet import Buffer

HEADER = 8
LENGTH = 4
CHECKSUM = 6


def end(data: bytes | Buffer, header: Header) -> int:
    """Return the offset of the end of the datagram, which may be before the end of its packet."""
    at = header.length + LENGTH
    return header.length + int.from_bytes(data[at : at + 2], "big")


def payloads(data: bytes | Buffer, header: Header, segment: int = 0) -> list[bytes]:
    """Return the payload of each datagram that the packet will be when it has been sent: of more than one if it will be
    cut into datagrams with `segment` bytes each (GSO)."""
    whole = bytes(data[header.length + HEADER : end(data, header)])
    size = segment or len(whole)
    return [whole[at : at + size] for at in range(0, len(whole), size)] if whole else [whole]


def write(payload: bytes) -> bytearray:
    """Return a datagram with this payload, whose ports and checksum are not set yet."""
    return bytearray(bytes(LENGTH) + (HEADER + len(payload)).to_bytes(2, "big") + b"\0\0" + payload)
