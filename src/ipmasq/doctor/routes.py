"""Routes: to the outside, to the public addresses, and back to the inside hosts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from shlex import quote

from ipmasq.config.directions import default_route, unrouted
from ipmasq.config.routes import Route, Way
from ipmasq.config.sides import addresses_in
from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.wire.addresses import Network, within

SUBJECT = "routes"
TRIED = 8
"""Addresses of an inside network of which one is not the host's own."""


def find(host: Host) -> Iterator[Finding]:
    config, here, sides = host.loaded.config, host.here, host.sides
    if sides.outside is None or host.is_down(sides.outside):
        return  # its routes come back with it
    for location, message in default_route(config, here, sides):
        problem = host.loaded.problem(location, message)
        yield Finding(
            SUBJECT,
            problem.message,
            "inside hosts do not reach remote hosts",
            f"ip route replace default via ROUTER dev {quote(sides.outside)}",
        )
    for location, message in unrouted(config, here, sides):
        yield Finding(
            SUBJECT,
            host.loaded.problem(location, message).message,
            "connections from inside are opened, and no answer comes back",
            f"on the router of {sides.outside}'s network: ip route add PUBLIC via {sides.outside}'s address",
        )
    for network in sides.networks:
        yield from _inside(network, host)


def _inside(network: Network, host: Host) -> Iterator[Finding]:
    """Find a network whose hosts get no answer, since packets for them do not leave by an inside interface."""
    sides = host.sides
    route = _route(network, host)
    inside = [name for name in sides.inside if name in host.here.interfaces]
    if route is None or route.interface in inside or any(map(host.is_down, inside)):
        return
    where = f"leave by {route.interface}" if route.way is Way.OUT else "go nowhere"
    what = f"packets to the inside network {network} {where}, since no route leads inside"
    effect = "its hosts send, and get no answer"
    if len(inside) == 1:
        command = f"ip route replace {network} dev {quote(inside[0])}"
        yield Finding(SUBJECT, what, effect, "", (command,), safe=True)
    else:
        yield Finding(SUBJECT, what, effect, f"ip route replace {network} via ROUTER dev INSIDE")


def _route(network: Network, host: Host) -> Route | None:
    """Return the route to a host of the network that is not this one."""
    if network.length > 30:
        return None
    for address in islice(addresses_in(network), 1, TRIED):
        if address not in host.here.own and within(address, (network,)):
            return host.here.route_to(address)
    return None
