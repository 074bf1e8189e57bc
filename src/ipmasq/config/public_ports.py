"""Determines the public ports for masqueraded flows: those that are configured, or all that the host does not
need."""

from __future__ import annotations

from itertools import chain

from ipmasq.config.host_state import HostState
from ipmasq.config.model import GatewayTable
from ipmasq.config.values import AUTO
from ipmasq.core.policy import Behaviour, PortRange, Ports, port_set, without

UNPRIVILEGED = PortRange(1024, 65535)
"""Ports below are for servers, and some peers refuse them as source ports (RFC 6335, 6: system ports)."""

USUAL = PortRange(32768, 60999)
"""The default range of Linux for the host's own connections."""

LEAST = 4096
"""If the host's own range leaves fewer ports than this, it has to share."""


def public_ports(gateway: GatewayTable, here: HostState) -> Ports:
    """Return the ports of the setting `ports`. "auto" leaves out those that the host uses for its own
    connections; ports that are forwarded or that have sockets of the host are left out one by one while the
    gateway runs."""
    return automatic(here) if gateway.ports == AUTO else gateway.ports


def automatic(here: HostState) -> Ports:
    """Return the ports from 1024 on without `ip_local_port_range`, but with those in
    `ip_local_reserved_ports`, which the host does not use either. A host that would use nearly all keeps only
    the usual ones."""
    ephemeral = here.ephemeral or USUAL
    found = _all_but(without(ephemeral, here.reserved))
    if found.size >= LEAST:
        return found
    return _all_but((_common(ephemeral, USUAL),))


HELPERS_PART = 16
"""If public ports are shared, this fraction of them is reserved for expected flows. They come from endpoints
that are not known before, so they cannot share ports."""


def given_out(gateway: GatewayTable, here: HostState) -> tuple[Ports, Ports | None]:
    """Return the public ports for flows that inside hosts open, and those for expected flows (None: the
    same)."""
    ports = public_ports(gateway, here)
    sharing = gateway.mapping is Behaviour.ADDRESS_AND_PORT_DEPENDENT
    if gateway.data_ports is not None or not sharing or ports.size < 2:
        return ports, gateway.data_ports
    return _split(ports, max(1, ports.size // HELPERS_PART))


def _split(ports: Ports, count: int) -> tuple[Ports, Ports]:
    """Return the ports without the last `count`, and these."""
    for low, high in reversed(ports.ranges):
        first = max(low, high - count + 1)
        count -= high - first + 1
        if not count:
            break
    last = tuple(without(each, [PortRange(0, first - 1)]) for each in ports.ranges)
    rest = tuple(without(each, [PortRange(first, 65535)]) for each in ports.ranges)
    return port_set(chain.from_iterable(rest)), port_set(chain.from_iterable(last))


def _all_but(taken: tuple[PortRange, ...]) -> Ports:
    return port_set(without(UNPRIVILEGED, taken))


def _common(one: PortRange, other: PortRange) -> PortRange:
    return PortRange(max(one.low, other.low), min(one.high, other.high))
