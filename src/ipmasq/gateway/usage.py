"""Usage of the limits, as `status` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest
from typing import Any

from ipmasq.core.ports import PortPool
from ipmasq.core.shortage import Use, name, near_limits
from ipmasq.core.table import Table
from ipmasq.wire.addresses import to_text

MOST = 16
"""The most addresses (by protocol) and hosts that are shown, the fullest first."""


def usage(table: Table) -> Mapping[str, Any]:
    """Return the usage of flows, of public ports by address and protocol, and of hosts near a limit; the fullest first."""
    pools = sorted(table.mappings.usage(), key=lambda pool: len(pool) / pool.ports.size)
    return {
        "flows": table.count,
        "max_flows": table.policy.limits.flows,
        "public_ports": [_ports(pool) for pool in pools[:MOST]],
        "hosts_near_limit": [_host(use) for use in nlargest(MOST, near_limits(table, MOST), _part)],
    }


def _part(use: Use) -> float:
    return use.used / use.most


def _host(use: Use) -> Mapping[str, Any]:
    return {
        "host": to_text(use.host),
        "limit": use.limit,
        "protocol": name(use.protocol).lower() if use.protocol else None,
        "used": use.used,
        "max": use.most,
    }


def _ports(pool: PortPool[Any]) -> Mapping[str, Any]:
    return {
        "address": to_text(pool.address),
        "protocol": name(pool.protocol).lower(),
        "ports": str(pool.ports),
        "used": pool.used,
        "max": pool.ports.size,
    }
