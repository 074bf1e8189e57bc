"""What the configuration meets on this machine. The only files of this floor that look at it are this,
`access.py`, `memory.py` and `routes.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ipmasq.config import routes
from ipmasq.config.access import Access, troubles, unknown
from ipmasq.config.memory import available
from ipmasq.core.policy import PortRange, port_list
from ipmasq.planes.tun.steering import DEVICE
from ipmasq.wire.addresses import Address, Network, to_address

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
IPV4_FAMILY = 2


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
    """IPv4 addresses by interface, the primary one first; no longer to be changed. The gateway's own devices
    are not among them."""
    ephemeral: PortRange | None = None
    """Ports that the kernel gives to the host's own outgoing connections."""
    listening: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    """(protocol, port) on which the host itself serves."""
    reserved: tuple[PortRange, ...] = ()
    """Ports of that range that the kernel does not give to them (`ip_local_reserved_ports`)."""
    memory: int = 4 << 30
    """Bytes that this process may have."""
    access: Access = unknown
    """What is wrong with a control socket."""
    route_to: routes.Routes = routes.unknown
    """Which way packets to an address go."""

    @property
    def own(self) -> frozenset[Address]:
        """Every address at which the host answers."""
        return frozenset(a.address for found in self.interfaces.values() for a in found)


def read_host_state(listening: frozenset[tuple[int, int]] = frozenset()) -> HostState:
    """Of this machine (this network namespace) now. `listening` is for the caller to find out."""
    from pyroute2 import IPRoute  # takes a tenth of a second

    with IPRoute() as kernel:
        links = {link["index"]: str(link.get("ifname")) for link in kernel.get_links()}
        names = {index: name for index, name in links.items() if name not in DEVICE.values()}
        found: dict[str, list[HostAddress]] = {name: [] for name in names.values()}
        for each in kernel.get_addr(family=IPV4_FAMILY):
            text = each.get("local") or each.get("address")
            if text and each["index"] in names:
                found[names[each["index"]]].append(HostAddress(to_address(text), each["prefixlen"]))
    interfaces = {name: tuple(addresses) for name, addresses in found.items()}
    return HostState(
        interfaces, _ephemeral(), listening, _reserved(), available(), troubles, routes.route_to
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
