"""Which way this host sends packets, as `ip route get` says."""

from __future__ import annotations

import errno
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from ipmasq.wire.addresses import Address, to_text

ANYWHERE: Address = bytes((198, 41, 0, 4))
"""An address far away, by which to ask for the default route: a.root-servers.net. Nothing is sent there."""

# <linux/rtnetlink.h>
RTN_UNICAST = 1
NULL_ROUTES = (errno.EINVAL, errno.EHOSTUNREACH, errno.EACCES)
"""How the kernel answers for blackhole, unreachable and prohibit routes (ip-route(8))."""


class Way(Enum):
    OUT = auto()
    """Packets leave by an interface."""
    HERE = auto()
    """They end here: a route of type local, blackhole, unreachable or prohibit."""
    NONE = auto()
    """There is no route."""


class Route(NamedTuple):
    way: Way
    interface: str = ""


Routes: TypeAlias = Callable[[Address], Route | None]
"""The route to an address; None if that cannot be told."""


def unknown(address: Address) -> Route | None:
    """Of a machine that nothing is known of."""
    return None


def route_to(address: Address) -> Route | None:
    """On this machine, in this network namespace, now. Sends nothing."""
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
