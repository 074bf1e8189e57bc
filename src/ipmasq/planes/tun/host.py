"""What the plane reads of the host, and the MTU of its devices."""

from __future__ import annotations

from collections.abc import Sequence

from pyroute2 import IPRoute

from ipmasq.core.policy import PortRange
from ipmasq.core.side import Side
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun import settings
from ipmasq.planes.tun.changes import IPV4_FAMILY, UnreachableAdded
from ipmasq.planes.tun.journal import Journal
from ipmasq.planes.tun.steering import DEVICE, TABLE, HostState
from ipmasq.wire.addresses import Address, to_address

LONGEST = 65535

QUEUE = 1000
"""The queue length of a TUN device, in packets (the kernel's default is 500; a wake-up handles 64)."""


def follow_mtu(kernel: IPRoute, where: HostState) -> None:
    """Give each TUN device the MTU of the interfaces behind it, so that the kernel answers a packet that is too big
    before it is translated, and to the right end. Raises NetlinkError."""
    for side, onward in ((Side.INSIDE, (where.outside,)), (Side.OUTSIDE, where.inside)):
        indices = [i for name in onward for i in kernel.link_lookup(ifname=name)]
        mtus = [kernel.get_links(i)[0].get_attr("IFLA_MTU") for i in indices]
        if mtus:
            own = kernel.get_links(kernel.link_lookup(ifname=DEVICE[side])[0])[0]
            if own.get_attr("IFLA_MTU") != min(*mtus, LONGEST):
                kernel.link("set", index=own["index"], mtu=min(*mtus, LONGEST))


def bring_up(kernel: IPRoute, journal: Journal) -> None:
    """Let the TUN devices be the way of all packets that the rules steer. Raises NetlinkError."""
    for side, name in DEVICE.items():
        index = kernel.link_lookup(ifname=name)[0]
        kernel.link("set", index=index, txqlen=QUEUE, state="up")
        journal.make([UnreachableAdded(IPV4_FAMILY, TABLE[side])])
        # This is not recorded: the route disappears with the device, and the device with the process.
        kernel.route("replace", family=IPV4_FAMILY, dst="default", oif=index, table=TABLE[side])


def own_addresses(kernel: IPRoute) -> frozenset[Address]:
    addresses = (each.get_attr("IFA_LOCAL") for each in kernel.get_addr(family=IPV4_FAMILY))
    return frozenset(to_address(text) for text in addresses if text)


def check_room(taken: Sequence[PortRange]) -> None:
    """Raise PlaneError if these leave the host no port for its own connections."""
    ephemeral = settings.read(settings.EPHEMERAL)
    if settings.none_left(ephemeral, taken):
        raise PlaneError(
            "the port range leaves the host no port for its own connections: "
            f"keep some of {'-'.join(ephemeral.split())} out of it"
        )
