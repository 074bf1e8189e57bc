"""What a gateway that was killed has left behind."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.planes.tun.steering import DEVICE, TABLE


def find(host: Host) -> Iterator[Finding]:
    if host.status is not None or not _diverted():
        return
    devices = " and ".join(DEVICE.values())
    yield Finding(
        "leftovers",
        f"packets are still routed to {devices} of a gateway that no longer runs",
        "nothing is forwarded for inside hosts",
        f"start it again, which undoes them: ipmasq run {host.loaded.path}, or systemctl start ipmasq",
    )


def _diverted() -> bool:
    """Return whether the routing rules of a gateway are there."""
    from pyroute2 import IPRoute

    with IPRoute() as kernel:
        tables = {rule.get_attr("FRA_TABLE") for rule in kernel.get_rules(family=2)}
    return not tables.isdisjoint(TABLE.values())
