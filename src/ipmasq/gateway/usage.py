"""How much is used of what there may be, as `status` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipmasq.core.ports import PortPool
from ipmasq.core.shortage import name
from ipmasq.core.table import Table
from ipmasq.wire.addresses import to_text

MOST = 16
"""Addresses, times protocols, that are shown: the fullest."""


def usage(table: Table) -> Mapping[str, Any]:
    """Flows, and public ports by address and protocol, the fullest first."""
    pools = sorted(table.mappings.usage(), key=lambda pool: len(pool) / pool.ports.size)
    return {
        "flows": len(table.flows),
        "max_flows": table.policy.limits.flows,
        "public_ports": [_ports(pool) for pool in pools[:MOST]],
    }


def _ports(pool: PortPool[Any]) -> Mapping[str, Any]:
    return {
        "address": to_text(pool.address),
        "protocol": name(pool.protocol).lower(),
        "ports": str(pool.ports),
        "used": pool.used,
        "max": pool.ports.size,
    }
