"""IPv6 packets, made by the tests' own writer."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ipmasq.wire.addresses import Address
from ipmasq.wire.checksum import finish, fold, pseudo_header_sum

HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS = 0, 43, 44, 60
TCP, UDP = 6, 17
CHECKSUM_AT = {TCP: 16, UDP: 6}

Extension = tuple[int, bytes]
"""Its kind, and everything in it but the first byte, which says what follows."""


def options(kind: int, units: int = 0) -> Extension:
    """An extension header of `8 + 8 * units` bytes, filled with Pad1 options or an empty route."""
    return kind, bytes((units,)) + bytes(6 + 8 * units)


def fragment(offset: int, more: bool, identification: int) -> Extension:
    """The offset counts in bytes."""
    return FRAGMENT, struct.pack("!BHI", 0, offset | more, identification)


def ip(
    source: Address,
    destination: Address,
    protocol: int,
    payload: bytes,
    extensions: Sequence[Extension] = (),
    hop_limit: int = 64,
    label: int = 0,
) -> bytes:
    """A packet; `label` is traffic class and flow label."""
    kinds = [kind for kind, _ in extensions] + [protocol]
    chain = b"".join(
        bytes((following,)) + rest
        for following, (_, rest) in zip(kinds[1:], extensions, strict=True)
    )
    fixed = struct.pack("!IHBB", 6 << 28 | label, len(chain) + len(payload), kinds[0], hop_limit)
    return fixed + source + destination + chain + payload


def datagram(source: tuple[Address, int], destination: tuple[Address, int], data: bytes) -> bytes:
    """A UDP datagram with its checksum, as the payload of a packet."""
    body = struct.pack("!HHHH", source[1], destination[1], 8 + len(data), 0) + data
    return _finished(body, source[0], destination[0], UDP)


def segment(source: tuple[Address, int], destination: tuple[Address, int], data: bytes) -> bytes:
    """A TCP segment with its checksum, as the payload of a packet."""
    fixed = struct.pack("!HHIIBBHHH", source[1], destination[1], 7, 8, 0x50, 0x10, 9, 0, 0)
    return _finished(fixed + data, source[0], destination[0], TCP)


def _finished(body: bytes, source: Address, destination: Address, protocol: int) -> bytes:
    at, start = CHECKSUM_AT[protocol], pseudo_header_sum(source, destination, protocol, len(body))
    checksum = finish(fold(body, start)) or 0xFFFF
    return body[:at] + checksum.to_bytes(2, "big") + body[at + 2 :]
