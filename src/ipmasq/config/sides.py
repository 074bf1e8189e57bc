"""Resolves the interfaces, networks and addresses of the configuration on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ipmasq.config.host_state import HostState
from ipmasq.config.model import GatewayTable
from ipmasq.config.values import addresses_of
from ipmasq.wire.addresses import Address, Network, within


@dataclass(frozen=True, slots=True)
class Sides:
    """`outside` is None, and the others are empty, if this machine has nothing that matches."""

    outside: str | None
    inside: tuple[str, ...]
    networks: tuple[Network, ...]
    public: tuple[Address, ...]


def resolve(gateway: GatewayTable, here: HostState) -> Sides:
    """Resolve the settings. An inside interface stands for the networks of its addresses, a network for the
    interfaces that have an address in it (none, if it is behind another router). The outside interface is the
    one in whose network the pool is, if it is not named; no interface is both."""
    pool = tuple(network for each in gateway.public.values() for network in each.networks)
    outside = gateway.outside or _reaching(pool, here)
    networks = tuple(dict.fromkeys(_networks(gateway, outside, here)))
    inside = tuple(dict.fromkeys(_interfaces(gateway, networks, here)))
    inside = tuple(name for name in inside if name != outside)
    return Sides(outside, inside, networks, tuple(dict.fromkeys(_public(pool, outside, here))))


def named_networks(gateway: GatewayTable) -> tuple[Network, ...] | None:
    """Return the inside networks, if they are known without examining the machine."""
    entries = tuple(gateway.inside.values())
    networks = tuple(entry for entry in entries if isinstance(entry, Network))
    return networks if len(networks) == len(entries) else None


def _networks(gateway: GatewayTable, outside: str | None, here: HostState) -> Iterator[Network]:
    for entry in gateway.inside.values():
        if isinstance(entry, Network):
            yield entry
        elif entry != outside:
            yield from (address.network for address in here.interfaces.get(entry, ()))


def _interfaces(
    gateway: GatewayTable, networks: tuple[Network, ...], here: HostState
) -> Iterator[str]:
    yield from (name for name in gateway.inside.values() if isinstance(name, str))
    for name, addresses in here.interfaces.items():
        if any(within(each.address, networks) for each in addresses):
            yield name


def _reaching(pool: Iterable[Network], here: HostState) -> str | None:
    for name, addresses in here.interfaces.items():
        if any(net.address in a.network or a.address in net for a in addresses for net in pool):
            return name
    return None


def _public(pool: tuple[Network, ...], outside: str | None, here: HostState) -> Iterator[Address]:
    """Yield the pool, or the interface's primary address, if it has one now."""
    if not pool:
        yield from (a.address for a in here.interfaces.get(outside or "", ())[:1])
    for net in pool:
        yield from addresses_in(net)


def addresses_in(net: Network) -> Iterator[Address]:
    """Every address of a network, in order."""
    first = int.from_bytes(net.address, "big")
    return (number.to_bytes(4, "big") for number in range(first, first + addresses_of(net)))
