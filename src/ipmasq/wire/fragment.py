"""Cuts an IPv4 packet into fragments (RFC 791, 3.2)."""

from __future__ import annotations

from ipmasq.wire import ipv4
from ipmasq.wire.packet import Buffer

UNIT = 8
"""Fragment offsets count in units of so many bytes."""
COPIED = 0x80
"""The flag of options that all fragments carry (RFC 791, 3.1)."""
_END, _NOP = 0, 1


def cut(data: Buffer, most: int) -> list[Buffer]:
    """Return the packet as fragments of at most `most` bytes, in order; a packet that fits is returned as it
    is.

    Flags are kept: fragments of a packet with DF carry DF. A fragment has at least 8 bytes of payload,
    however small `most` is. The packet must not be a fragment itself.
    """
    if len(data) <= most:
        return [data]
    length = (data[0] & 0x0F) * 4
    room = max(UNIT, (most - length) // UNIT * UNIT)
    flags = int.from_bytes(data[6:8], "big") & ipv4.DONT_FRAGMENT
    header = bytes(data[:length])
    fragments: list[Buffer] = []
    for at in range(length, len(data), room):
        piece = bytearray(header) + data[at : at + room]
        more = ipv4.MORE_FRAGMENTS if at + room < len(data) else 0
        field = flags | more | (at - length) // UNIT
        ipv4.replace(piece, 2, len(piece).to_bytes(2, "big"))
        ipv4.replace(piece, 6, field.to_bytes(2, "big"))
        if at == length:
            header = _of_later_fragments(header)
        fragments.append(piece)
    return fragments


def _of_later_fragments(header: bytes) -> bytes:
    """Return the header with no-operations in place of options that only the first fragment carries."""
    later = bytearray(header)
    at = ipv4.HEADER
    while at < len(header) and header[at] != _END:
        size = 1 if header[at] == _NOP else header[at + 1] if at + 1 < len(header) else 0
        if size < 1 or at + size > len(header):
            break
        if not header[at] & COPIED:
            _blank(later, at, size)
        at += size
    return bytes(later)


def _blank(header: bytearray, at: int, size: int) -> None:
    """Overwrite in whole words, so that the checksum can be updated."""
    start, end = at & ~1, (at + size + 1) & ~1
    text = bytearray(header[start:end])
    text[at - start : at - start + size] = bytes((_NOP,)) * size
    ipv4.replace(header, start, bytes(text))
