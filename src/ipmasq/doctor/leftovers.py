"""What a gateway that was killed has left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from socket import if_nameindex

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.planes.leftovers import find_leftovers
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.steering import DEVICE


def find(host: Host) -> Iterator[Finding]:
    if host.status is not None:
        return
    if _are_recorded() and _devices_exist():
        yield Finding(
            "leftovers",
            "a gateway was killed here, and no other one has taken over yet",
            "the eBPF fast path forwards established flows for the grace time (state.grace), all other packets of "
            "inside hosts wait or are lost, and kernel settings are still changed",
            f"the next start takes over: ipmasq run {host.loaded.path}, or systemctl start ipmasq; "
            "ipmasq undo restores the host instead",
        )
    elif _are_recorded():
        yield Finding(
            "leftovers",
            f"a gateway was killed here, and packets may still be routed to {_devices()}, which are gone",
            "nothing is forwarded for inside hosts, and kernel settings are still changed",
            f"ipmasq undo restores the host; so does the next start: ipmasq run {host.loaded.path}, "
            "or systemctl start ipmasq",
        )


def _devices() -> str:
    return " and ".join(DEVICE.values())


def _are_recorded() -> bool:
    with suppress(PlaneError):
        return bool(find_leftovers())
    return False


def _devices_exist() -> bool:
    """Return whether the devices have outlived the gateway, as they do until the grace time has passed."""
    names = {name for _, name in if_nameindex()}
    return names.issuperset(DEVICE.values())
