"""Keys: the addresses and ports of a packet as bytes, in the order in which they stand in it.

A flow is found by a key: source address, destination address, source port and destination port, which are
12 bytes (IPv4) or 36 (IPv6). So finding a flow is one look-up of a slice of the packet, translating it is
one slice assignment, and IPv6 needs no second copy of anything (docs/adr/0007). For ICMP echo the query id
stands in the place of the port of the end that asked, and 0 in that of the other.

A mapping is found by an endpoint's key, which begins with the protocol.
"""

from __future__ import annotations

from ipmasq.wire.addresses import Address, Endpoint


def pack(source: Endpoint, destination: Endpoint) -> bytes:
    """A key: the fields as they stand in a packet."""
    return (
        source.address
        + destination.address
        + source.port.to_bytes(2, "big")
        + destination.port.to_bytes(2, "big")
    )


def source_address(key: bytes) -> Address:
    """The address that packets with this key come from."""
    return key[: (len(key) - 4) // 2]


def source_of(key: bytes) -> Endpoint:
    """Where packets with this key come from."""
    return Endpoint(source_address(key), key[-4] << 8 | key[-3])


def destination_of(key: bytes) -> Endpoint:
    """Where packets with this key go."""
    return Endpoint(key[(len(key) - 4) // 2 : -4], key[-2] << 8 | key[-1])


def endpoint_key(protocol: int, endpoint: Endpoint) -> bytes:
    """Protocol, port and address in one small object: every mapping has one of these."""
    return bytes((protocol, endpoint.port >> 8, endpoint.port & 0xFF)) + endpoint.address


def endpoint_of(key: bytes) -> Endpoint:
    return Endpoint(key[3:], key[1] << 8 | key[2])
