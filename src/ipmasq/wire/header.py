"""What the headers of IPv4 and IPv6 have in common.

A `Family` says where the fields stand that both have, as values that are made once, so that code for packets of
either family has neither offsets of its own nor an object for each packet. A `Header` is a header that was read
(`ipmasq.wire.ip`).
"""

from __future__ import annotations

from dataclasses import dataclass

from ipmasq.wire.addresses import Address


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """The layout of one version of IP. Offsets and lengths are in bytes."""

    version: int
    length: int
    """Of a header without options (IPv4) or extension headers (IPv6)."""
    ttl: int
    """The offset of the time to live (IPv4) or the hop limit (IPv6)."""
    addresses: slice
    """Source and destination address."""
    key: slice
    """The addresses, and the ports if they follow at once: the key of a flow in a packet whose header has just
    `length`."""
    checksum: int | None
    """The offset of the header's own checksum; IPv6 has none (RFC 8200, 8)."""


IPV4 = Family(4, 20, ttl=8, addresses=slice(12, 20), key=slice(12, 24), checksum=10)
IPV6 = Family(6, 40, ttl=7, addresses=slice(8, 40), key=slice(8, 44), checksum=None)

OF_KEY = {each.key.stop - each.key.start: each for each in (IPV4, IPV6)}
"""Families by the length of a key in bytes."""


@dataclass(slots=True)
class Header:
    """The header of an IP packet, of either family. It is no NamedTuple, whose attributes take longer to read.

    `length` is the offset of the transport header, which extension headers of IPv6 may precede; `total` is the
    length of the packet, and `offset` that of a fragment, all in bytes. `protocol` is that of the transport header:
    for IPv6 the first next header that is no extension header. `ttl` is the hop limit of IPv6, whose routers never
    fragment: `dont_fragment` is always true.
    """

    length: int
    total: int
    identification: int
    dont_fragment: bool
    more_fragments: bool
    offset: int
    ttl: int
    protocol: int
    source: Address
    destination: Address
    family: Family = IPV4

    @property
    def is_fragment(self) -> bool:
        return self.more_fragments or self.offset > 0
