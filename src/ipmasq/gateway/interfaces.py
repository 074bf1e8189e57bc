"""Where the gateway's interfaces are, as the examination of the host's firewall needs it."""

from __future__ import annotations

from ipmasq.core.policy import Policy
from ipmasq.gateway.firewall.ways import Where
from ipmasq.gateway.setup import Setup
from ipmasq.planes.tun.plane import TunPlane


def interfaces(setup: Setup, policy: Policy, plane: TunPlane) -> Where:
    """Return what packets pass for this policy."""
    return Where(
        setup.outside,
        tuple(setup.inside),
        tuple(map(str, policy.inside)),
        plane.fast.passes_once,
        plane.fast.could_pass_once,
        bool(policy.forwards or policy.triggers),
        not plane.where.own.isdisjoint(policy.public),
        plane.renames and not plane.fast.passes_once,
    )
