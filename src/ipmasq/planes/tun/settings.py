"""The kernel settings that the plane needs: `/proc/sys` paths and values, for one address family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ipmasq.core.policy import PortRange, merged, port_list
from ipmasq.planes.tun.steering import DEVICES

ROOT = Path("/proc/sys/net")


def for_own_device(name: str) -> Mapping[str, str]:
    """Return the settings of a TUN device: translated packets come in by it with a source address of the
    host. IPv6 is off, or the kernel would send its own router solicitations into the engine."""
    conf = f"{ROOT}/ipv4/conf/{name}"
    return {
        f"{conf}/accept_local": "1",
        f"{conf}/rp_filter": "0",
        f"{conf}/forwarding": "1",
        f"{ROOT}/ipv6/conf/{name}/disable_ipv6": "1",
    }


def without_ipv6(name: str) -> Mapping[str, str]:
    """Return the settings of a device by which the kernel must send nothing of its own."""
    return {f"{ROOT}/ipv6/conf/{name}/disable_ipv6": "1"}


FORWARDING = "forwarding"
"""The name of the setting that lets the kernel forward what comes in by an interface."""


def forwarding(interfaces: Iterable[str]) -> Mapping[str, str]:
    return {f"{ROOT}/ipv4/conf/{name}/{FORWARDING}": "1" for name in interfaces}


def judging_sources_by_marks(interfaces: Iterable[str]) -> Mapping[str, str]:
    """Return the settings that let the reverse-path filter see a packet's mark, like the rules for unmarked
    packets."""
    return {f"{ROOT}/ipv4/conf/{name}/src_valid_mark": "1" for name in interfaces}


def without_early_demux() -> Mapping[str, str]:
    """Return the settings that look up a route before a socket, as the kernel's documentation advises
    routers.

    Otherwise a packet that matches a connected socket of the host is not forwarded, and any user of the host
    can connect one to the remote end of another host's flow.
    """
    return {f"{ROOT}/ipv4/ip_early_demux": "0"}


def proxying(outside: str) -> Mapping[str, str]:
    """Return the settings that answer ARP for pool addresses at once, instead of after up to 0.8 s."""
    return {f"{ROOT}/ipv4/neigh/{outside}/proxy_delay": "0"}


def rp_filters(now: Mapping[str, int]) -> Mapping[str, str]:
    """Return the settings for these values of rp_filter by interface, `all` and `default` included.

    The kernel uses the greater of `all` and the interface's value, so that with `all` set nothing can be
    switched off for one interface. All other interfaces keep their effective value.
    """
    for_all = now.get("all", 0)
    if not for_all:
        return {}
    path = f"{ROOT}/ipv4/conf/{{}}/rp_filter"
    raised = {path.format(n): str(for_all) for n, v in now.items() if v < for_all}
    return {**raised, path.format("all"): "0"}


def read_rp_filters() -> Mapping[str, int]:
    """Return rp_filter by interface; the plane's own devices have theirs already (`for_own_device`)."""
    paths = (ROOT / "ipv4/conf").glob("*/rp_filter")
    return {
        path.parent.name: int(path.read_text()) for path in paths if path.parent.name not in DEVICES
    }


def read(path: str) -> str:
    """Return the value of a setting. Raises OSError.

    It is not read by `pathlib`, which interns each part of a path: settings are read every few seconds, and the
    interpreter's table of interned strings would grow by all that were forgotten since.
    """
    with open(path, encoding="ascii") as file:
        return file.read().rstrip("\n")


RESERVED = f"{ROOT}/ipv4/ip_local_reserved_ports"
EPHEMERAL = f"{ROOT}/ipv4/ip_local_port_range"


def reserved_ports(was: str, more: Sequence[PortRange]) -> str:
    """Return the kernel's list of ports that no outgoing connection gets, extended by `more`."""
    return ",".join(str(each) for each in merged([*port_list(was), *more]))


def none_left(ephemeral: str, more: Sequence[PortRange]) -> bool:
    """Return whether `more` leaves the host no port for its own outgoing connections."""
    low, high = (int(word) for word in ephemeral.split())
    return any(each.low <= low and high <= each.high for each in merged(more))
