"""IP packets of either family."""

from __future__ import annotations

from ipmasq.wire import ipv4, ipv6
from ipmasq.wire.header import Family, Header
from ipmasq.wire.packet import Buffer


def read(data: bytes | Buffer) -> Header | None:
    """Parse the header of a packet. Return None unless it is a whole header, of either family, whose lengths make sense
    within `data`."""
    return ipv4.read(data) or ipv6.read(data)


def change_ttl(data: Buffer, family: Family, change: int) -> None:
    """Add `change` to the time to live or hop limit, which must stay within 0..255."""
    if family.checksum is not None:
        ipv4.replace(data, family.ttl, bytes((data[family.ttl] + change, data[family.ttl + 1])))
    else:
        data[family.ttl] += change
