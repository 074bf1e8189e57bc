"""Selects the plane, by the names that the configuration has for them."""

from __future__ import annotations

from pathlib import Path

from ipmasq.config.memory import available
from ipmasq.core.policy import Limits
from ipmasq.gateway.setup import Setup
from ipmasq.planes.ebpf.layout import Account
from ipmasq.planes.ebpf.plane import EbpfPlane, Programs
from ipmasq.planes.ebpf.policer import Rates
from ipmasq.planes.ebpf.table import affordable

GENERIC = "ebpf-xdp-generic"
XDP = {"auto": None, "ebpf": None, "ebpf-tc": False, "ebpf-xdp": True, GENERIC: True}
"""Whether to use XDP; None means where it is supported."""

PLANES = ("tun", *XDP)

PART = 16
"""A TCP connection may have this fraction of the packets that an inside host's flows may leave to the engine."""


def make_plane(name: str, setup: Setup, directory: Path) -> EbpfPlane:
    return EbpfPlane(
        setup.outside,
        setup.inside,
        setup.policy.inside,
        directory,
        programs(name, setup.policy.limits),
    )


def programs(name: str, limits: Limits) -> Programs | None:
    """Return the programs of the plane of this name."""
    if name == "tun":
        return None
    flows = min(limits.flows, max(1, affordable(available())))
    return Programs(flows, XDP[name], name == GENERIC, name != "auto")


def rates(limits: Limits) -> Rates:
    """Return the rates at which a fast path may leave packets to the engine."""
    return {
        Account.FLOW: max(1, limits.tracked_pps_per_host // PART),
        Account.HOST: limits.tracked_pps_per_host,
        Account.OPENINGS: limits.untracked_pps_per_host,
        Account.UNTRACKED: limits.untracked_pps_per_side,
    }


def describe(plane: EbpfPlane) -> str:
    """Return the plane's name, and where its programs are."""
    if plane.table is None:
        return f"tun ({plane.trouble})" if plane.trouble else "tun"
    return f"ebpf ({plane.described()})"
