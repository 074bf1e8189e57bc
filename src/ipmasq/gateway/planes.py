"""Selects the plane, by the names that the configuration has for them."""

from __future__ import annotations

from pathlib import Path

from ipmasq.config.memory import available
from ipmasq.core.policy import Limits
from ipmasq.gateway.setup import Setup
from ipmasq.planes.ebpf.programs import Programs
from ipmasq.planes.ebpf.table import affordable
from ipmasq.planes.tun.plane import WITHOUT, Start, TunPlane

GENERIC = "ebpf-xdp-generic"
XDP = {"auto": None, "ebpf": None, "ebpf-tc": False, "ebpf-xdp": True, GENERIC: True}
"""Whether to use XDP; None means where it is supported."""

PLANES = ("tun", *XDP)


def make_plane(setup: Setup, directory: Path) -> TunPlane:
    """Return a plane without a fast path: that is loaded while packets pass."""
    return TunPlane(setup.outside, setup.inside, setup.policy.inside, directory)


def fast_path(name: str, limits: Limits) -> Start:
    """Return the fast path of the plane of this name."""
    if name == "tun":
        return WITHOUT
    flows = min(limits.flows, max(1, affordable(available())))
    return Programs(flows, XDP[name], name == GENERIC, name != "auto")
