"""The hosts, addresses and routes of a lab, computed before anything is built. Pure values, no system calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import islice

SWITCH = "wires"
"""The namespace that holds every segment as a bridge without an address."""

LONGEST_INTERFACE = 15
"""Characters in an interface's name (IFNAMSIZ - 1)."""


PRIVATE = IPv4Network("10.0.0.0/24")
TRANSIT = IPv4Network("203.0.113.0/24")
FAR = IPv4Network("198.51.100.0/24")
"""TRANSIT and FAR are reserved for documentation (RFC 5737), so no lab is confused with a real network."""


LONGEST_PREFIX = 32
"""Characters in a lab's name, which is a part of file names."""

LARGEST_MTU = 65535
"""Bytes that a virtual Ethernet interface carries at most."""


class LayoutError(ValueError):
    """No such lab can be built."""


@dataclass(frozen=True)
class Layout:
    """The operator's choices. MTUs are in bytes."""

    prefix: str = "ipmasq"
    gateways: int = 1
    inside: int = 2
    """Hosts behind each gateway."""
    outside: int = 2
    mtu: int = 1500
    transit_mtu: int | None = None
    """The MTU of the segment between the gateways and the Internet; None means `mtu`."""
    network: IPv4Network = PRIVATE
    second_network: IPv4Network = PRIVATE
    transit: IPv4Network = TRANSIT
    far: IPv4Network = FAR
    xdp: bool = False
    """Whether the gateways' interfaces suit XDP; see `Interface`."""

    def __post_init__(self) -> None:
        """Raise LayoutError with a message if no such lab can be built."""
        check_prefix(self.prefix)
        if self.gateways not in (1, 2):
            raise LayoutError("a lab has 1 or 2 gateways")
        for mtu in (self.mtu, self.transit_mtu or self.mtu):
            if not 576 <= mtu <= LARGEST_MTU:
                raise LayoutError(f"an MTU is from 576 to {LARGEST_MTU} bytes, not {mtu}")
        self._check_room()
        self._check_overlaps()

    def _check_room(self) -> None:
        for network, hosts in ((self.network, self.inside), (self.second_network, self.inside)):
            if not 0 <= hosts <= network.num_addresses - 3:
                raise LayoutError(f"{network} has no room for {hosts} hosts and a gateway")
        if not 0 <= self.outside <= self.far.num_addresses - 3:
            raise LayoutError(f"{self.far} has no room for {self.outside} hosts and a router")

    def _check_overlaps(self) -> None:
        """The private networks may be the same, as they never meet."""
        outside = (self.transit, "the gateways' outside"), (self.far, "the outside hosts'")
        for network in (self.network, self.second_network):
            for other, whose in outside:
                if network.overlaps(other):
                    raise LayoutError(f"{network} overlaps {other}, {whose} network")


def check_prefix(prefix: str) -> None:
    """Raise LayoutError unless it can be the name of a lab."""
    letters = prefix.replace("-", "")
    if not (letters.isascii() and letters.isalnum() and prefix[0] != "-"):
        raise LayoutError(
            f"a prefix consists of letters, digits and '-', and begins with no '-', unlike {prefix!r}"
        )
    if len(prefix) > LONGEST_PREFIX:
        raise LayoutError(f"a prefix has at most {LONGEST_PREFIX} characters, not {len(prefix)}")


@dataclass(frozen=True)
class Interface:
    name: str
    segment: str
    address: str
    """The address with its prefix length: `10.0.0.2/24`."""
    mtu: int
    xdp: bool = False
    """Whether packets arrive as from a real network card (with finished checksums and no longer than the
    MTU), and the far end accepts frames that XDP redirects. Neither is so on a plain veth."""

    @property
    def ip(self) -> str:
        return self.address.partition("/")[0]


@dataclass(frozen=True)
class Host:
    """One namespace. `role`: inside, gateway, net or outside."""

    name: str
    role: str
    interfaces: tuple[Interface, ...]
    default_via: str | None
    routes: bool = False
    """Whether the kernel forwards packets in it."""

    @property
    def ip(self) -> str:
        """The address by which it is known: its only one, or its outermost."""
        return self.interfaces[-1].ip


@dataclass(frozen=True)
class Plan:
    prefix: str
    hosts: tuple[Host, ...]

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(i.segment for host in self.hosts for i in host.interfaces))

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(self.namespace(name) for name in (SWITCH, *(host.name for host in self.hosts)))

    def namespace(self, host: str) -> str:
        return f"{self.prefix}-{host}"

    def host(self, name: str) -> Host:
        """Return a host by its name. Raises KeyError."""
        return {host.name: host for host in self.hosts}[name]


def port_name(host: Host, interface: Interface) -> str:
    """Return the name of the switch's end of a veth pair."""
    name = host.name if len(host.interfaces) == 1 else f"{host.name}-{interface.name}"
    return name[:LONGEST_INTERFACE]


def draw(layout: Layout) -> Plan:
    """Return the hosts, addresses and routes of a layout."""
    hosts = [
        *_behind("gw1", "in", "lan1", 1, layout.network, layout),
        *(
            _behind("gw2", "far", "lan2", 2, layout.second_network, layout)
            if layout.gateways == 2
            else ()
        ),
        *_internet(layout),
    ]
    return Plan(layout.prefix, tuple(hosts))


def _behind(
    gateway: str, stem: str, lan: str, number: int, network: IPv4Network, layout: Layout
) -> Iterator[Host]:
    """Yield a gateway and the private network behind it."""
    first, *others = _addresses(network, layout.inside + 1)
    public = _addresses(layout.transit, number)[-1]
    yield Host(
        gateway,
        "gateway",
        (
            Interface("inside", lan, first, layout.mtu, layout.xdp),
            Interface("outside", "transit", public, _transit_mtu(layout), layout.xdp),
        ),
        default_via=_last(layout.transit).partition("/")[0],
    )
    for index, address in enumerate(others, 1):
        interface = Interface("eth0", lan, address, layout.mtu)
        yield Host(f"{stem}{index}", "inside", (interface,), first.partition("/")[0])


def _internet(layout: Layout) -> Iterator[Host]:
    """Yield the router and the outside hosts."""
    router = _last(layout.far)
    yield Host(
        "net",
        "net",
        (
            Interface("transit", "transit", _last(layout.transit), _transit_mtu(layout)),
            Interface("far", "far", router, layout.mtu),
        ),
        default_via=None,
        routes=True,
    )
    for index, address in enumerate(_addresses(layout.far, layout.outside), 1):
        interface = Interface("eth0", "far", address, layout.mtu)
        yield Host(f"out{index}", "outside", (interface,), router.partition("/")[0])


def _addresses(network: IPv4Network, count: int) -> list[str]:
    return [f"{address}/{network.prefixlen}" for address in islice(network.hosts(), count)]


def _last(network: IPv4Network) -> str:
    return f"{network.broadcast_address - 1}/{network.prefixlen}"


def _transit_mtu(layout: Layout) -> int:
    return layout.transit_mtu or layout.mtu
