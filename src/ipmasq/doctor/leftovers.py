"""What a gateway that was killed has left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from socket import if_nameindex

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.front.asking import CONFIG
from ipmasq.planes.leftovers import find_leftovers
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.started import noted
from ipmasq.planes.tun.steering import DEVICE


def find(host: Host) -> Iterator[Finding]:
    if not are_left(host):
        return
    if _devices_exist():
        yield Finding(
            "leftovers",
            "a gateway was killed here, and no other one has taken over yet",
            "the eBPF fast path forwards established flows for the grace time (state.grace), all other packets of "
            "inside hosts wait or are lost, and kernel settings are still changed",
            f"the next start takes over: {_start(host)}; ipmasq undo restores the host instead",
        )
    else:
        yield Finding(
            "leftovers",
            f"a gateway was killed here, and packets may still be routed to {_devices()}, which are gone",
            "nothing is forwarded for inside hosts, and kernel settings are still changed",
            f"ipmasq undo restores the host; so does the next start: {_start(host)}",
        )


def are_left(host: Host) -> bool:
    """Return whether a gateway was killed here and has left something."""
    with suppress(PlaneError):
        return host.status is None and bool(find_leftovers())
    return False


def _start(host: Host) -> str:
    """Return how a gateway is started in place of the killed one."""
    path = killed_config() or (host.loaded.path if os.path.exists(host.loaded.path) else "")
    command = f"ipmasq run {path}" if path else "ipmasq run with its configuration"
    return f"{command}, or systemctl start ipmasq" if path in ("", CONFIG) else command


def killed_config() -> str:
    """Return the configuration of the gateway that ran here last and did not end in order; empty if it is not known."""
    known = noted()
    return known.config if known else ""


def _devices() -> str:
    return " and ".join(DEVICE.values())


def _devices_exist() -> bool:
    """Return whether the devices have outlived the gateway, as they do until the grace time has passed."""
    names = {name for _, name in if_nameindex()}
    return names.issuperset(DEVICE.values())
