"""What a gateway that was killed has left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.planes.leftovers import find_leftovers
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.steering import DEVICE, TABLE


def find(host: Host) -> Iterator[Finding]:
    if host.status is not None:
        return
    if _are_recorded():
        yield Finding(
            "leftovers",
            f"a gateway was killed here, and packets may still be routed to {_devices()}, which are gone",
            "nothing is forwarded for inside hosts, and kernel settings are still changed",
            f"ipmasq undo restores the host; so does the next start: ipmasq run {host.loaded.path}, "
            "or systemctl start ipmasq",
        )
    elif _diverted():
        yield Finding(
            "leftovers",
            f"packets are still routed to {_devices()} of a gateway that no longer runs",
            "nothing is forwarded for inside hosts",
            f"start it again, which undoes them: ipmasq run {host.loaded.path}, or systemctl start ipmasq",
        )


def _devices() -> str:
    return " and ".join(DEVICE.values())


def _are_recorded() -> bool:
    with suppress(PlaneError):
        return bool(find_leftovers())
    return False


def _diverted() -> bool:
    """Return whether the routing rules of a gateway are there."""
    from pyroute2 import IPRoute

    with IPRoute() as kernel:
        tables = {rule.get_attr("FRA_TABLE") for rule in kernel.get_rules(family=2)}
    return not tables.isdisjoint(TABLE.values())
