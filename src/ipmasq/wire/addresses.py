"""Addresses and endpoints. An address is its bytes in network order: 4 (IPv4) or 16 (IPv6)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

Address: TypeAlias = bytes


class Endpoint(NamedTuple):
    """One end of a flow. `port` is 0..65535; for ICMP echo it is the query id."""

    address: Address
    port: int

    def __str__(self) -> str:
        text = to_text(self.address)
        return f"[{text}]:{self.port}" if len(self.address) == 16 else f"{text}:{self.port}"


class Network(NamedTuple):
    """An address prefix of `length` bits; `address` has no bits set beyond it."""

    address: Address
    length: int

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, bytes) or len(address) != len(self.address):
            return False
        shift = 8 * len(address) - self.length
        return (
            int.from_bytes(address, "big") >> shift == int.from_bytes(self.address, "big") >> shift
        )

    def __str__(self) -> str:
        return f"{to_text(self.address)}/{self.length}"


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether an address is in one of these networks."""
    for network in networks:  # noqa: SIM110 - `any` of a generator takes twice as long
        if address in network:
            return True
    return False


def to_address(text: str) -> Address:
    """Return the bytes of a dotted or colon form. Raises ValueError."""
    return ipaddress.ip_address(text).packed


def to_text(address: Address) -> str:
    """Return the customary text of an address of 4 or 16 bytes."""
    if len(address) == 4:
        return "%d.%d.%d.%d" % tuple(address)
    return str(ipaddress.ip_address(address))


def to_network(text: str) -> Network:
    """Parse `10.0.0.0/24` or a single address. Raises ValueError, also if host bits are set."""
    network = ipaddress.ip_network(text)
    return Network(network.network_address.packed, network.prefixlen)


def to_texts(addresses: Iterable[Address]) -> str:
    """Return them as a list for people."""
    return ", ".join(map(to_text, addresses)) or "none"
