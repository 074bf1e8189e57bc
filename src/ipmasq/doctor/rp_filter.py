"""The reverse-path filter, which drops packets that come in by another interface than answers would leave by."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from ipmasq.config.routes import ANYWHERE, Way
from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

STRICT, LOOSE = 1, 2  # RFC 3704; Documentation/networking/ip-sysctl.rst


def find(host: Host) -> Iterator[Finding]:
    """Find a strict filter at the outside interface of a host whose default route leaves by another one."""
    outside = host.sides.outside
    if outside is None or outside not in host.here.interfaces or host.is_down(outside):
        return
    route = host.here.route_to(ANYWHERE)
    if _effective(host, outside) != STRICT or (route and route.interface == outside):
        return
    elsewhere = f"leaves by {route.interface}" if route and route.way is Way.OUT else "is missing"
    what = f"rp_filter of {outside} is strict, and the default route {elsewhere}"
    command = f"sysctl -w net/ipv4/conf/{quote(outside)}/rp_filter={LOOSE}"
    yield Finding(
        "rp_filter",
        what,
        f"the kernel drops what remote hosts send to {outside}, without a word",
        "",
        (command,),
        safe=True,
    )


def _effective(host: Host, interface: str) -> int:
    """Return the greater of the interface's value and that of `all`, which is what the kernel uses."""
    names = (f"net.ipv4.conf.{each}.rp_filter" for each in ("all", interface))
    return max(int(host.setting(name) or 0) for name in names)
