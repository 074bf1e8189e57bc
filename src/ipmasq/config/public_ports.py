"""Which public ports there are for masqueraded flows: those that are written, or all that the host can spare."""

from __future__ import annotations

from ipmasq.config.model import GatewayTable
from ipmasq.config.surroundings import Surroundings
from ipmasq.config.values import AUTO
from ipmasq.core.policy import PortRange, Ports, port_set, without

UNPRIVILEGED = PortRange(1024, 65535)
"""Those below are for servers, and some peers refuse them (RFC 6335, 6: system ports)."""

USUAL = PortRange(32768, 60999)
"""From which Linux takes the ports of the host's own connections unless it is told otherwise."""

LEAST = 4096
"""Where the host's own range leaves fewer ports than this, it has to share."""


def public_ports(gateway: GatewayTable, here: Surroundings) -> Ports:
    """Those of `ports`. "auto" leaves out what the host takes for its own connections; ports that are
    forwarded or that the host has sockets on are left out one by one while the gateway runs."""
    return automatic(here) if gateway.ports == AUTO else gateway.ports


def automatic(here: Surroundings) -> Ports:
    """From 1024 on, without `ip_local_port_range`; but what of that is in `ip_local_reserved_ports` the
    host does not take either. A host that would take nearly all keeps of them what is usual."""
    ephemeral = here.ephemeral or USUAL
    found = _all_but(without(ephemeral, here.reserved))
    if found.size >= LEAST:
        return found
    return _all_but((_common(ephemeral, USUAL),))


def _all_but(taken: tuple[PortRange, ...]) -> Ports:
    return port_set(without(UNPRIVILEGED, taken))


def _common(one: PortRange, other: PortRange) -> PortRange:
    return PortRange(max(one.low, other.low), min(one.high, other.high))
