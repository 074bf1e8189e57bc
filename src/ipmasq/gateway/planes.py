"""Which plane it is to be, by the names that the configuration has for them."""

from __future__ import annotations

from pathlib import Path

from ipmasq.core.policy import Limits
from ipmasq.gateway.setup import Setup
from ipmasq.planes.ebpf.layout import Account
from ipmasq.planes.ebpf.plane import EbpfPlane
from ipmasq.planes.ebpf.police import Rates
from ipmasq.planes.tun.plane import TunPlane

GENERIC = "ebpf-xdp-generic"
XDP = {"auto": None, "ebpf": None, "ebpf-tc": False, "ebpf-xdp": True, GENERIC: True}
"""Whether there is to be XDP; None: where it suits."""

PLANES = ("tun", *XDP)


def make_plane(name: str, setup: Setup, directory: Path) -> TunPlane:
    inside, networks = setup.inside, setup.policy.inside
    if name == "tun":
        return TunPlane(setup.outside, inside, networks, directory)
    return EbpfPlane(
        setup.outside,
        inside,
        networks,
        directory,
        flows=setup.policy.limits.flows,
        xdp=XDP[name],
        generic=name == GENERIC,
        required=name != "auto",
        rates=rates(setup.policy.limits),
    )


def rates(limits: Limits) -> Rates:
    """What a fast path may leave to the engine."""
    return {
        Account.FLOWS: limits.flow_packets_per_host,
        Account.OPENINGS: limits.openings_per_host,
        Account.STRANGERS: limits.openings_per_side,
    }


def describe(plane: TunPlane) -> str:
    """The plane, and where its programs are."""
    if not isinstance(plane, EbpfPlane):
        return "tun"
    if plane.table is None:
        return f"tun ({plane.trouble})" if plane.trouble else "tun"
    return f"ebpf ({plane.described()})"
