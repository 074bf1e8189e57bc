"""Checks whether the target of a forward can be a server."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ipmasq.config.host_state import HostState
from ipmasq.config.mistakes import Mistake
from ipmasq.config.model import Config
from ipmasq.config.sides import Sides
from ipmasq.core.admission import is_martian
from ipmasq.wire.addresses import Address, Network, to_text, within

POINT_TO_POINT = 31
"""From this prefix length on, every address of a network is a host's (RFC 3021)."""


def doubtful_targets(
    config: Config, networks: tuple[Network, ...], here: HostState | None, sides: Sides | None
) -> Iterator[Mistake]:
    """Find forwards to targets that are no inside host. `networks` are the inside ones, `here` and `sides`
    what is known of this machine."""
    links = _links(here) if here else ()
    own = here.own if here else frozenset()
    public = frozenset(sides.public) if sides else frozenset()
    for index, table in config.forward.items():
        if is_martian(table.to.address):
            continue  # this is a mistake, and reported already
        if message := _doubt(table.to.address, networks, {*networks, *links}, own, public):
            yield ("forward", index, "to"), message


def _links(here: HostState) -> Iterator[Network]:
    return (each.network for found in here.interfaces.values() for each in found)


def _doubt(
    host: Address,
    inside: tuple[Network, ...],
    links: Collection[Network],
    own: Collection[Address],
    public: Collection[Address],
) -> str:
    if host in own:
        return (
            f"{to_text(host)} is an address of this gateway itself, not of a server behind it: a forward"
            " leads nowhere there; a service of the gateway's own needs none"
        )
    if host in public:
        return f"{to_text(host)} is a public address of the gateway itself, not of a server inside"
    if not within(host, inside):
        return (
            f"{to_text(host)} is in no inside network: unless its answers come back through the gateway,"
            " connections to it hang"
        )
    for network in sorted(links):
        if network.length < POINT_TO_POINT and host in (network.address, _broadcast(network)):
            kind = "broadcast address" if host != network.address else "address"
            return f"{to_text(host)} is the {kind} of the network {network}, not of a server"
    return ""


def _broadcast(network: Network) -> Address:
    rest = (1 << (8 * len(network.address) - network.length)) - 1
    return (int.from_bytes(network.address, "big") | rest).to_bytes(len(network.address), "big")


def strange_publics(config: Config, sides: Sides) -> Iterator[Mistake]:
    """Find forwards at an address that is not public now. (`mistakes.py` compares a configured pool.)"""
    if config.gateway.public or not sides.public:
        return
    known = ", ".join(map(to_text, sides.public))
    for index, table in config.forward.items():
        if table.public and table.public not in sides.public:
            message = f"{to_text(table.public)} is not the public address now ({known}), so nobody comes by it"
            yield ("forward", index, "public"), message
