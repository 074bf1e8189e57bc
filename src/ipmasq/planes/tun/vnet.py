"""The virtio header before each packet on a TUN device.

A packet that the kernel made itself, or merged from several (GRO), comes with its L4 checksum unfinished
(NEEDS_CSUM: the field holds the sum of the pseudo-header) and, if it is longer than a segment may be, with
the size of its segments. Both are kept: the sender of the packet finishes it.
"""

from __future__ import annotations

import struct

from ipmasq.wire.packet import Buffer, Packet

# <linux/virtio_net.h>: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; host byte order.
HEADER = struct.Struct("=BBHHHH")
SIZE = HEADER.size
NEEDS_CSUM = 1
GSO_NONE = 0
GSO_TCPV4 = 1
GSO_TCPV6 = 4
GSO_UDP_L4 = 5

PLAIN = bytes(SIZE)
"""The header of a packet that leaves as it is."""

TCP = 6
UDP = 17
CHECKSUM_AT = {TCP: 16, UDP: 6}


def packet_from(header: Buffer, data: memoryview) -> Packet:
    """Return the packet that was read. `data` stays shared.

    An unfinished checksum that is not the packet's own (a tunnel's inner one) is finished here, since
    `Packet.partial` is about the outermost only.
    """
    flags, gso_type, _, gso_size, start, offset = HEADER.unpack(header)
    partial = bool(flags & NEEDS_CSUM)
    if partial and (start, offset) != _checksum_location(data):
        finish_checksum(data, start, offset)
        partial = False
    return Packet(data, partial, gso_size if gso_type != GSO_NONE else 0)


def header_for(packet: Packet, link: int = 0) -> bytes:
    """Return the header of a packet to be written. `link` bytes of a link-layer header precede the packet."""
    if not packet.partial and not packet.segment:
        return PLAIN
    data = packet.data
    start, protocol = _transport(data)
    gso_type, length = GSO_NONE, 0
    if packet.segment:
        if protocol == UDP:
            gso_type, length = GSO_UDP_L4, start + 8
        else:
            gso_type = GSO_TCPV4 if data[0] >> 4 == 4 else GSO_TCPV6
            length = start + (data[start + 12] >> 4) * 4
    flags, offset = (NEEDS_CSUM, CHECKSUM_AT[protocol]) if packet.partial else (0, 0)
    return HEADER.pack(
        flags,
        gso_type,
        link + length if length else 0,
        packet.segment,
        link + start if packet.partial else 0,
        offset,
    )


def finish_checksum(data: Buffer, start: int, offset: int) -> None:
    """Complete the checksum at `start + offset` over everything from `start` on (RFC 1071)."""
    at = start + offset
    if at + 2 > len(data):
        return
    # One's complement addition of 16-bit words is arithmetic modulo 65535.
    covered = bytes(data[start:]) + b"\0" * ((len(data) - start) & 1)
    total = int.from_bytes(covered, "big") % 0xFFFF
    data[at : at + 2] = ((~total & 0xFFFF) or 0xFFFF).to_bytes(2, "big")


def _checksum_location(data: Buffer) -> tuple[int, int]:
    start, protocol = _transport(data)
    return start, CHECKSUM_AT.get(protocol, -1)


def _transport(data: Buffer) -> tuple[int, int]:
    """Return the offset of the transport header, and its protocol (IPv6 extension headers are not parsed)."""
    if data[0] >> 4 == 4:
        return (data[0] & 15) * 4, data[9]
    return 40, data[6]
