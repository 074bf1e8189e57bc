"""Selects the plane, by the names that the configuration has for them."""

from __future__ import annotations

from pathlib import Path

from ipmasq.config.memory import available
from ipmasq.core.policy import Limits
from ipmasq.gateway.setup import Setup
from ipmasq.planes.ebpf.programs import Programs
from ipmasq.planes.ebpf.table import affordable
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.planes.tun.start import WITHOUT, Start

GENERIC = "ebpf-xdp-generic"
XDP = {"auto": None, "ebpf": None, "ebpf-tc": False, "ebpf-xdp": True, GENERIC: True}
"""Whether to use XDP; None means where it is supported."""

PLANES = ("tun", *XDP)


def make_plane(name: str, setup: Setup, directory: Path, is_heir: bool = False) -> TunPlane:
    """Return a plane. Its fast path is loaded while packets pass; but that of an heir (see `TunPlane`) comes first,
    since the engine must know which flows are forwarded without it."""
    wanted = fast_path(name, setup.policy.limits) if is_heir else WITHOUT
    inside, grace = setup.policy.inside, setup.kept.grace if setup.kept else 0.0
    return TunPlane(setup.outside, setup.inside, inside, directory, wanted, grace, is_heir)


def fast_path(name: str, limits: Limits) -> Start:
    """Return the fast path of the plane of this name."""
    if name == "tun":
        return WITHOUT
    flows = min(limits.flows, max(1, affordable(available())))
    return Programs(flows, XDP[name], name == GENERIC, name != "auto")
