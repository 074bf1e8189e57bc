"""Unfinished checksums (CHECKSUM_PARTIAL). A sending host leaves the checksum to its network card, and
captures see the packet before that. The field then holds the sum of the pseudo-header, uncomplemented."""

from __future__ import annotations

from ipmasq.wire import ipv4
from ipmasq.wire.checksum import finish, fold, pseudo_header_sum
from ipmasq.wire.packet import Buffer

_FIELD = {ipv4.TCP: 16, ipv4.UDP: 6}


def is_partial(data: bytes | Buffer) -> bool:
    """Return whether the TCP or UDP checksum of this IPv4 packet is unfinished (and not right by chance)."""
    located = _locate(data)
    if located is None:
        return False
    start, at, pseudo = located
    if int.from_bytes(data[at : at + 2], "big") != pseudo:
        return False
    return fold(data[start:], pseudo) != 0xFFFF


def complete(data: Buffer) -> None:
    """Finish the checksum in place. Anything but whole TCP or UDP over IPv4 is left unchanged."""
    located = _locate(data)
    if located is None:
        return
    start, at, pseudo = located
    data[at : at + 2] = b"\0\0"
    # A UDP checksum of 0 would mean that there is none (RFC 768); TCP accepts either form of zero.
    checksum = finish(fold(data[start:], pseudo)) or 0xFFFF
    data[at : at + 2] = checksum.to_bytes(2, "big")


def _locate(data: bytes | Buffer) -> tuple[int, int, int] | None:
    """Return where L4 begins, where its checksum is, and the sum of its pseudo-header."""
    header = ipv4.read(data)
    if header is None or header.is_fragment or header.protocol not in _FIELD:
        return None
    at = header.length + _FIELD[header.protocol]
    if at + 2 > header.total or header.total != len(data):
        return None
    size = header.total - header.length
    pseudo = pseudo_header_sum(header.source, header.destination, header.protocol, size)
    return header.length, at, pseudo
