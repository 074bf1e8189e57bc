"""Checks whether inside and outside are configured the right way round, by their addresses and routes."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.config.host_state import HostState
from ipmasq.config.mistakes import Mistake
from ipmasq.config.model import Config
from ipmasq.config.routes import ANYWHERE, Way
from ipmasq.config.sides import Sides, addresses_in
from ipmasq.core.admission import is_martian
from ipmasq.wire.addresses import Network, to_network, to_text

PRIVATE = tuple(
    map(
        to_network,
        (
            "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918
            "100.64.0.0/10",  # RFC 6598: shared by providers' customers
            "169.254.0.0/16",  # RFC 3927: link-local
            "198.18.0.0/15",  # RFC 2544: benchmarks
        ),
    )
)  # fmt: skip
"""Networks that exist in many places, so that no outside host can be meant by their addresses."""


def not_private(config: Config, networks: tuple[Network, ...]) -> Iterator[Mistake]:
    """Find inside networks whose addresses are in use on the Internet."""
    for network in networks:
        if network.length and is_martian(network.address):
            message = f"no host has an address of {network} (loopback, multicast or reserved)"
            yield place_of(config, network), message
        elif not is_private(network):
            message = (
                f"{network} is not a private network (RFC 1918): other hosts of the Internet that have these"
                " addresses cannot be reached from inside; are inside and outside swapped?"
            )
            yield place_of(config, network), message


def place_of(config: Config, network: Network) -> tuple[str | int, ...]:
    """Return where the file names an inside network; `inside` itself if it names only the interface."""
    for index, entry in config.gateway.inside.items():
        if entry == network:
            return ("gateway", "inside", index)
    return ("gateway", "inside")


def default_route(config: Config, here: HostState, sides: Sides) -> Iterator[Mistake]:
    """Check that the default route leaves by `outside`, since masqueraded packets follow this host's routes."""
    outside, route = sides.outside, here.route_to(ANYWHERE)
    if outside not in here.interfaces or not sides.public:
        return  # this is reported already
    if route is None or route.interface == outside:
        return
    key = "outside" if config.gateway.outside else "public"
    if route.way is not Way.OUT:
        message = f"this host has no default route, so only the network of {outside} can be reached"
    elif route.interface in sides.inside:
        message = (
            f"the default route leaves by {route.interface}, which is inside, and not by {outside}:"
            " are inside and outside swapped?"
        )
    else:
        message = (
            f"the default route leaves by {route.interface} and not by {outside}: there, nobody can"
            " answer to the public addresses"
        )
    yield ("gateway", key), message


def unrouted(config: Config, here: HostState, sides: Sides) -> Iterator[Mistake]:
    """Find public addresses to which no packets are routed, as far as that can be seen from here."""
    near = [each.network for each in here.interfaces.get(sides.outside or "", ())]
    for index, pool in config.gateway.public.items() if near else ():
        for network in pool.networks:
            if any(_within(network, each) for each in near):
                continue
            far = (a for a in addresses_in(network) if a not in here.own)
            address = next((a for a in far if not any(a in each for each in near)), None)
            route = here.route_to(address) if address else None
            if address and route and route.way is not Way.HERE:
                message = (
                    f"this host does not have {to_text(address)}, and it is in no network of {sides.outside}:"
                    " nothing comes to it unless the router there has a route to it by this host"
                )
                yield ("gateway", "public", index), message
                break


def is_private(network: Network) -> bool:
    """Return whether no outside host can be meant by its addresses."""
    return any(_within(network, private) for private in PRIVATE)


def _within(network: Network, other: Network) -> bool:
    return network.length >= other.length and network.address in other
