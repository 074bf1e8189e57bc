"""Finds the route of packets from this host, like `ip route get`."""

from __future__ import annotations

import errno
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from ipmasq.wire.addresses import Address, to_text

ANYWHERE: Address = bytes((198, 41, 0, 4))
"""A distant address with which to look up the default route: a.root-servers.net. Nothing is sent there."""

# <linux/rtnetlink.h>
RTN_UNICAST = 1
NULL_ROUTES = (errno.EINVAL, errno.EHOSTUNREACH, errno.EACCES)
"""The kernel's errors for blackhole, unreachable and prohibit routes (ip-route(8))."""


class Way(Enum):
    OUT = auto()
    """Packets leave by an interface."""
    HERE = auto()
    """Packets end here: a route of type local, blackhole, unreachable or prohibit."""
    NONE = auto()
    """There is no route."""


class Route(NamedTuple):
    way: Way
    interface: str = ""


Routes: TypeAlias = Callable[[Address], Route | None]
"""Returns the route to an address; None if it cannot be determined."""


def unknown(address: Address) -> Route | None:
    """The answer for a machine of which nothing is known."""
    return None


def route_to(address: Address) -> Route | None:
    """Return the present route on this machine, in this network namespace. Sends nothing."""
    from pyroute2 import IPRoute, NetlinkError  # takes a tenth of a second

    with IPRoute() as kernel:
        try:
            found = kernel.route("get", dst=to_text(address))[0]
            if found["type"] != RTN_UNICAST:
                return Route(Way.HERE)
            link = kernel.get_links(found.get("oif"))[0]
            return Route(Way.OUT, str(link.get("ifname")))
        except NetlinkError as error:
            if error.code == errno.ENETUNREACH:
                return Route(Way.NONE)
            return Route(Way.HERE) if error.code in NULL_ROUTES else None
