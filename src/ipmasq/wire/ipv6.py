"""IPv6 (RFC 8200).

offset  0..3                     4..5            6            7          8..23   24..39
field   ver|class|flow label     payload length  next header  hop limit  source  destination

Extension headers may stand between this header and that of the transport protocol.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ipmasq.wire.header import IPV6, Header
from ipmasq.wire.packet import Buffer

HEADER = 40
HOP_BY_HOP, ROUTING, FRAGMENT, NO_NEXT_HEADER, DESTINATION_OPTIONS = 0, 43, 44, 59, 60

MOST_EXTENSIONS = 8
"""The most extension headers that are walked. RFC 8200 (4.1) allows five in one packet: each kind once, and
destination options twice."""

_FIXED = struct.Struct("!B3xHBB16s16s")
_FRAGMENT = struct.Struct("!BxHI")
_EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS))


class _Chain(NamedTuple):
    """What a walk over the extension headers has found. `at` is where it stands, `protocol` what is there."""

    at: int
    protocol: int
    identification: int | None = None
    """None before the fragment header."""
    more_fragments: bool = False
    offset: int = 0


def read(data: bytes | Buffer) -> Header | None:
    """Parse the header and the extension headers. Return None unless all of them are whole, in an order that RFC 8200
    allows, not more than `MOST_EXTENSIONS`, and within the payload length, and that within `data`.

    In a fragment other than the first, `length` is the offset of the fragment's payload. Bytes beyond the payload
    length are not an error; a jumbo payload (RFC 2675) is not read.
    """
    if len(data) < HEADER:
        return None
    first, payload, protocol, hop_limit, source, destination = _FIXED.unpack_from(data)
    total = HEADER + payload
    if first >> 4 != 6 or total > len(data):
        return None
    chain: _Chain | None = _Chain(HEADER, protocol)
    for _ in range(MOST_EXTENSIONS + 1):
        if chain is None or chain.protocol not in _EXTENSIONS or chain.offset:
            break
        chain = _walk(data, total, chain)
    else:
        return None
    if chain is None:
        return None
    at, protocol, identification, more, offset = chain
    return Header(
        *(at, total, identification or 0, True, more, offset),
        *(hop_limit, protocol, source, destination, IPV6),
    )


def _walk(data: bytes | Buffer, total: int, chain: _Chain) -> _Chain | None:
    """Return the chain behind its next extension header, or None if that is not whole, or not allowed there: hop-by-hop
    options come first (RFC 8200, 4.3), and no fragment is in a fragment."""
    at, kind, *_ = chain
    if at + 8 > total or (kind == HOP_BY_HOP and at != HEADER):
        return None
    if kind == FRAGMENT:
        if chain.identification is not None:
            return None
        following, field, identification = _FRAGMENT.unpack_from(data, at)
        return _Chain(at + 8, following, identification, bool(field & 1), field & 0xFFF8)
    end = at + 8 * (data[at + 1] + 1)
    return chain._replace(at=end, protocol=data[at]) if end <= total else None
