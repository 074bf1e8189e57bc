"""The state of this machine on which the configuration depends. In this package, only this file, `access.py`,
`memory.py` and `routes.py` examine the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ipmasq.config import routes
from ipmasq.config.access import (
    Access,
    Readable,
    Writable,
    find_problems,
    known_to_be_readable,
    known_to_be_writable,
    unknown,
    wrong_with_file,
    wrong_with_key,
)
from ipmasq.config.memory import available
from ipmasq.core.policy import PortRange, port_list
from ipmasq.planes.tun.steering import DEVICES
from ipmasq.wire.addresses import Address, Network, to_address

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
IPV4_FAMILY = 2


Served: TypeAlias = Callable[[int, Address, PortRange, str], int | None]
"""Returns the lowest of these ports (given the protocol first) at which the host itself serves packets that
come in by the interface for the address; None if there is none."""


def nothing(protocol: int, address: Address, ports: PortRange, interface: str) -> None:
    """The `Served` of a host that serves no port."""


class HostAddress(NamedTuple):
    """An address of this host, in a network of `length` bits."""

    address: Address
    length: int

    @property
    def network(self) -> Network:
        shift = 8 * len(self.address) - self.length
        bits = int.from_bytes(self.address, "big") >> shift << shift
        return Network(bits.to_bytes(len(self.address), "big"), self.length)


@dataclass(frozen=True, slots=True)
class HostState:
    interfaces: Mapping[str, tuple[HostAddress, ...]]
    """IPv4 addresses by interface, the primary one first, without the gateway's own devices. Not to be
    modified."""
    ephemeral: PortRange | None = None
    """Ports that the kernel uses for the host's own outgoing connections."""
    served: Served = nothing
    """Finds a port that the host itself serves."""
    reserved: tuple[PortRange, ...] = ()
    """Ports of that range that the kernel does not use for them (`ip_local_reserved_ports`)."""
    memory: int = 4 << 30
    """Bytes that this process may use."""
    access: Access = unknown
    """What is wrong with a control socket."""
    writable: Writable = known_to_be_writable
    """What is wrong with a file that is to be written."""
    route_to: routes.Routes = routes.unknown
    """Finds the route of packets to an address."""
    readable: Readable = known_to_be_readable
    """What is wrong with the key of a group."""

    @property
    def own(self) -> frozenset[Address]:
        """Every address of the host."""
        return frozenset(a.address for found in self.interfaces.values() for a in found)


def read_host_state(served: Served = nothing) -> HostState:
    """Read the present state of this machine (this network namespace). The caller finds out which ports are
    `served`."""
    from pyroute2 import IPRoute  # takes a tenth of a second

    with IPRoute() as kernel:
        links = {link["index"]: str(link.get("ifname")) for link in kernel.get_links()}
        names = {index: name for index, name in links.items() if name not in DEVICES}
        found: dict[str, list[HostAddress]] = {name: [] for name in names.values()}
        for each in kernel.get_addr(family=IPV4_FAMILY):
            text = each.get("local") or each.get("address")
            if text and each["index"] in names:
                found[names[each["index"]]].append(HostAddress(to_address(text), each["prefixlen"]))
    interfaces = {name: tuple(addresses) for name, addresses in found.items()}
    return HostState(
        interfaces,
        _ephemeral(),
        served,
        _reserved(),
        available(),
        find_problems,
        wrong_with_file,
        routes.route_to,
        wrong_with_key,
    )


def _ephemeral() -> PortRange | None:
    try:
        low, high = EPHEMERAL.read_text().split()
    except (OSError, ValueError):
        return None
    return PortRange(int(low), int(high))


def _reserved() -> tuple[PortRange, ...]:
    try:
        return port_list(RESERVED.read_text())
    except OSError:
        return ()
