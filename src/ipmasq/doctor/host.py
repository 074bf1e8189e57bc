"""What is known of the host and of the gateway on it, gathered once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipmasq.config import HostState, Loaded, Sides, load, read_host_state, resolve
from ipmasq.config.values import PROTOCOLS
from ipmasq.control.client import Client, UnreachableError
from ipmasq.control.protocol import RequestError
from ipmasq.core.policy import Forward, port_list
from ipmasq.gateway.firewall.check import examine as examine_firewall
from ipmasq.gateway.firewall.finding import Finding as FirewallFinding
from ipmasq.gateway.firewall.reading import listing
from ipmasq.gateway.sockets import served
from ipmasq.wire.addresses import to_address

PATIENCE = 3.0
"""Seconds that the running gateway may take for an answer."""

CONF = Path("/proc/sys/net/ipv4/conf")
NAMED_UP = 1  # IFF_UP


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    up: bool
    """Whether it was switched on."""
    carrier: bool
    """Whether it has a link to another device. Nothing is known of one that is not up."""
    mtu: int
    kind: str = ""
    """`veth`, `bridge`, ...; empty for hardware."""
    programs: tuple[str, ...] = ()
    """Programs of other software that handle its packets, as text."""


@dataclass(frozen=True)
class Host:
    loaded: Loaded
    here: HostState
    links: Mapping[str, Link] = field(default_factory=dict)
    firewall: Sequence[FirewallFinding] = ()
    forbidden: Sequence[FirewallFinding] = ()
    """What the firewall forbids inside hosts, which may be meant."""
    rules: str = ""
    """The rules of the host's firewall, as its tools list them."""
    status: Mapping[str, Any] | None = None
    """What the running gateway says of itself; None if none runs."""
    setting: Callable[[str], str | None] = lambda _: None
    """Return a kernel setting by its name in sysctl(8); None if there is none."""
    writable: bool = True
    """Whether the kernel's settings can be changed here."""

    @property
    def sides(self) -> Sides:
        return resolve(self.loaded.config.gateway, self.here)

    @property
    def own(self) -> tuple[str, ...]:
        """The gateway's interfaces that this host has, the outside one last."""
        sides = self.sides
        names = (*sides.inside, *([sides.outside] if sides.outside else ()))
        return tuple(name for name in names if name in self.here.interfaces)

    def is_down(self, name: str) -> bool:
        return name in self.links and not (self.links[name].up and self.links[name].carrier)


def look(
    path: str, status: Mapping[str, Any] | None, forwards: Sequence[Mapping[str, Any]] = ()
) -> Host:
    """Gather everything. Changes nothing, and never raises for what a user may not read. `status` and `forwards`:
    those of the running gateway."""
    loaded, here = load(path), read_host_state(served)
    running = [_forward(row) for row in forwards]
    with_programs = status is None or has_programs(status)
    twice = status is not None and status.get("firewall_passed") == "twice"
    return Host(
        loaded,
        here,
        dict(_links(here)),
        *examine_firewall(loaded, here, with_programs, running, twice),
        listing(),
        status,
        setting,
        _may_write(),
    )


def has_programs(status: Mapping[str, Any]) -> bool:
    """Return whether the running gateway has a fast path."""
    return str(status["plane"]).startswith("ebpf")


def ask_gateway(socket: str) -> Mapping[str, Any] | None:
    """Return the status of the running gateway; None if none answers in time."""
    with suppress(UnreachableError, RequestError), Client(socket, PATIENCE) as gateway:
        return next(gateway.rows("status"))
    return None


def ask_forwards(socket: str) -> list[Mapping[str, Any]]:
    """Return the forwards of the running gateway; none if it does not answer in time."""
    with suppress(UnreachableError, RequestError), Client(socket, PATIENCE) as gateway:
        return list(gateway.rows("forwards"))
    return []


def _forward(row: Mapping[str, Any]) -> Forward:
    """Return a forward from the control interface's form."""
    (ports,), (inside,) = port_list(row["ports"]), port_list(row["inside_ports"])
    public = to_address(row["public"]) if row["public"] else None
    protocol = PROTOCOLS[row["protocol"]]
    return Forward(row["name"], protocol, public, ports, to_address(row["inside"]), inside.low)


def setting(name: str) -> str | None:
    """Return a kernel setting. An interface in the name may have dots, so it is the last but one of four."""
    words = name.split(".")
    if words[:3] == ["net", "ipv4", "conf"]:
        words = [*words[:3], ".".join(words[3:-1]), words[-1]]
    try:
        return Path("/proc/sys", *words).read_text().strip()
    except OSError:
        return None


def _may_write() -> bool:
    """Return whether the settings of the network are in a file system that can be written, as they are not in
    most containers."""
    import os

    return not os.statvfs(CONF).f_flag & os.ST_RDONLY


def _links(here: HostState) -> Iterator[tuple[str, Link]]:
    from pyroute2 import IPRoute

    from ipmasq.doctor.attached import programs_at

    with IPRoute() as kernel:
        for link in kernel.get_links():
            name = link.get("ifname")
            if name not in here.interfaces:
                continue
            info: Any = link.get_attr("IFLA_LINKINFO")
            up = bool(link["flags"] & NAMED_UP)
            carrier = not up or link.get_attr("IFLA_CARRIER") != 0
            kind = (info.get_attr("IFLA_INFO_KIND") if info else "") or ""
            programs = tuple(programs_at(kernel, link))
            yield name, Link(up, carrier, link.get_attr("IFLA_MTU"), kind, programs)
