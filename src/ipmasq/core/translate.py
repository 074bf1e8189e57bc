"""Rewrites packets in place. Checksums are updated, never computed anew (RFC 1624), so that a packet that
arrived corrupt leaves corrupt."""

from __future__ import annotations

import struct

from ipmasq.core.flow import Half
from ipmasq.wire import ipv4, tcp, udp
from ipmasq.wire.checksum import adjust, finish, fold
from ipmasq.wire.header import IPV4, Family, Header
from ipmasq.wire.ip import change_ttl
from ipmasq.wire.packet import Buffer, Packet

_SHORT = struct.Struct("!H")
_NUMBERS = struct.Struct("!IIBBHHH")
"""A TCP header without its ports and options."""
_get, _put = _SHORT.unpack_from, _SHORT.pack_into

CHECKSUM_AT = {ipv4.UDP: 6, ipv4.TCP: 16, ipv4.ICMP: 2}
"""The offset of the checksum in the L4 header."""


def ttl_difference(ttl_delta: int) -> int:
    """Return what a change of the time to live adds to the sum of the IPv4 header (it is the high byte of a
    word)."""
    return (ttl_delta << 8) % 0xFFFF


def translate(
    data: Buffer,
    family: Family,
    length: int,
    protocol: int,
    half: Half,
    ttl_delta: int,
    partial: bool = False,
) -> None:
    """Rewrite a TCP or UDP packet of either family in place; its transport header is at `length`."""
    rewrite, difference = half.rewrite, half.address_difference
    if length == family.length:
        data[family.key] = rewrite
    else:
        data[family.addresses] = rewrite[:-4]
        data[length : length + 4] = rewrite[-4:]
    data[family.ttl] += ttl_delta
    checksum = family.checksum
    if checksum:
        # This is adjust(), inlined because every packet passes here. 0xFFFF counts as 0, and makes the sum positive.
        total = (~_get(data, checksum)[0] & 0xFFFF) + difference + (ttl_delta << 8) + 0xFFFF
        total = (total & 0xFFFF) + (total >> 16)
        _put(data, checksum, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    at = length + CHECKSUM_AT[protocol]
    old = _get(data, at)[0]
    if partial:
        # The field is the uncomplemented sum of the pseudo-header, which has no ports.
        total = old + difference
        _put(data, at, (total & 0xFFFF) + (total >> 16))
        return
    if protocol == ipv4.UDP and not old:
        return
    total = (~old & 0xFFFF) + half.payload_difference
    total = (total & 0xFFFF) + (total >> 16)
    # A UDP checksum must not become 0, which would mean that there is none; only the sum 0xFFFF yields it,
    # and 0xFFFF is equivalent.
    _put(data, at, ~total & 0xFFFF or (0xFFFF if protocol == ipv4.UDP else 0))


def translate_packet(packet: Packet, header: Header, half: Half, ttl_delta: int) -> None:
    """Rewrite a TCP or UDP packet whose header was read; see `translate`."""
    translate(
        packet.data,
        header.family,
        header.length,
        header.protocol,
        half,
        ttl_delta,
        packet.partial,
    )


def translate_query(data: Buffer, length: int, half: Half, ttl_delta: int) -> None:
    """Rewrite an ICMP echo request or reply in place: the identifier takes the role of the port."""
    rewrite = half.rewrite
    asked, answered = rewrite[8:10], rewrite[10:12]
    ipv4.replace(data, 12, rewrite[:8])
    change_ttl(data, IPV4, ttl_delta)
    identifier = asked if asked != b"\0\0" else answered
    before = bytes(data[length + 4 : length + 6])
    data[length + 4 : length + 6] = identifier
    checksum = adjust(_get(data, length + 2)[0], fold(identifier, 0xFFFF - fold(before)))
    _put(data, length + 2, checksum)


def rebuild(
    packet: Packet, header: Header, half: Half, ttl_delta: int, body: bytearray, nth: int
) -> Packet:
    """Return an IPv4 packet that carries `body` (a TCP or UDP header and payload, ports and checksum not yet set)
    in place of `packet`; `nth` counts the packets made from the same one."""
    rewrite = half.rewrite
    data = bytearray(packet.data[: header.length]) + body
    identification = (header.identification + nth) & 0xFFFF
    # The words of the length and the identification, and those of the addresses and the time to live.
    change = len(data) + identification + 2 * 0xFFFF - header.total - header.identification
    change += half.address_difference + ttl_difference(ttl_delta)
    _put(data, 2, len(data))
    _put(data, 4, identification)
    data[8] += ttl_delta
    data[12:20] = rewrite[:8]
    _put(data, 10, adjust(_get(data, 10)[0], change % 0xFFFF))
    data[header.length : header.length + 4] = rewrite[8:12]
    set_checksum(data, header.length, header.protocol)
    return Packet(data, note=packet.note)


def compose(half: Half, segment: bytearray, note: object = None) -> Packet:
    """Return a packet made by the gateway in one direction of a flow, around `segment` (a TCP header and
    payload, ports and checksum not yet set)."""
    rewrite = half.rewrite
    segment[0:4] = rewrite[8:12]
    data = ipv4.write(rewrite[:4], rewrite[4:8], ipv4.TCP, segment)
    set_checksum(data, ipv4.HEADER, ipv4.TCP)
    return Packet(data, note=note)


def set_checksum(data: bytearray, length: int, protocol: int) -> None:
    """Compute the checksum of a segment or datagram that the gateway has composed, at `length` of an IPv4 packet."""
    at = length + CHECKSUM_AT[protocol]
    data[at : at + 2] = b"\0\0"
    checksum = finish(_segment_sum(data, IPV4, length, len(data), protocol))
    _put(data, at, checksum or (0xFFFF if protocol == ipv4.UDP else 0))


def _segment_sum(data: Buffer, family: Family, length: int, total: int, protocol: int) -> int:
    """The sum of what stands from `length` to `total`, and of its pseudo-header."""
    rest = protocol + total - length
    if length == family.length:
        return fold(
            data[family.addresses.start : total], rest
        )  # the addresses stand right before it
    return fold(data[length:total], rest + fold(data[family.addresses]))


def renumber(data: Buffer, length: int, before: tcp.Segment, after: tcp.Segment) -> None:
    """Give the TCP segment of a packet, after `translate`, other numbers, flags, window or urgent pointer in place:
    it came in as `before` and leaves as `after`. `length` of the IP header in bytes."""
    # 2**16 is 1 (mod 65535), so a number of 32 bits counts in a sum as its two words do.
    change = after.sequence - before.sequence + after.acknowledgment - before.acknowledgment
    change += after.flags - before.flags + after.window - before.window
    change += after.urgent - before.urgent
    offset, checksum = data[length + 12], adjust(_get(data, length + 16)[0], change % 0xFFFF)
    numbers = after.sequence, after.acknowledgment, offset, after.flags, after.window
    _NUMBERS.pack_into(data, length + 4, *numbers, checksum, after.urgent)


def is_intact(packet: Packet, header: Header) -> bool:
    """Return whether the checksum of a TCP or UDP packet is right. One that is not finished yet, or was left
    out (UDP, RFC 768), counts as right."""
    data, end = packet.data, header.total
    if packet.partial:
        return True
    if header.protocol == ipv4.UDP:
        if not any(data[header.length + 6 : header.length + 8]):
            return True
        end = udp.end(data, header)
    return _segment_sum(data, header.family, header.length, end, header.protocol) == 0xFFFF
