"""Keys: the addresses and ports of a packet as bytes, in the order in which they stand in it.

A flow is found by a key: source address, destination address, source port and destination port, which are
12 bytes (IPv4) or 36 (IPv6). So finding a flow is one look-up of a slice of the packet, translating it is
one slice assignment, and IPv6 needs no code of its own (docs/adr/0007). For ICMP echo the query id takes the
place of the port of the end that sent the request, and 0 that of the other.

A mapping is found by an endpoint's key, which begins with the protocol.
"""

from __future__ import annotations

from ipmasq.wire.addresses import Address, Endpoint

LENGTHS = 12, 36
"""Bytes of the key of a flow (IPv4, IPv6)."""


def pack(source: Endpoint, destination: Endpoint) -> bytes:
    """Return the key: the fields as they stand in a packet."""
    return (
        source.address
        + destination.address
        + source.port.to_bytes(2, "big")
        + destination.port.to_bytes(2, "big")
    )


def source_address(key: bytes) -> Address:
    """Return the source address of packets with this key."""
    return key[: (len(key) - 4) // 2]


def source_of(key: bytes) -> Endpoint:
    """Return the source of packets with this key."""
    return Endpoint(source_address(key), key[-4] << 8 | key[-3])


def destination_of(key: bytes) -> Endpoint:
    """Return the destination of packets with this key."""
    return Endpoint(key[(len(key) - 4) // 2 : -4], key[-2] << 8 | key[-1])


def endpoint_key(protocol: int, endpoint: Endpoint) -> bytes:
    """Return protocol, port and address as one small object, which every mapping has."""
    return bytes((protocol, endpoint.port >> 8, endpoint.port & 0xFF)) + endpoint.address


def endpoint_of(key: bytes) -> Endpoint:
    return Endpoint(key[3:], key[1] << 8 | key[2])


def exchanged(key: bytes) -> bytes:
    """Return the key with source and destination exchanged."""
    size = (len(key) - 4) // 2
    return key[size:-4] + key[:size] + key[-2:] + key[-4:-2]
