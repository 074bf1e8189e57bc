"""The rule by which the kernel looks for the host's own addresses first."""

from __future__ import annotations

from pyroute2 import IPRoute

from ipmasq.planes.tun import changes
from ipmasq.planes.tun.changes import IPV4_FAMILY as FAMILY
from ipmasq.planes.tun.journal import Journal
from ipmasq.planes.tun.steering import LOCAL, LOCAL_TABLE, RoutingRule


def make_room(kernel: IPRoute, journal: Journal) -> None:
    """Move `lookup local` from the front to after the gateway's claims. Raises OSError, NetlinkError."""
    for rule in kernel.get_rules(family=FAMILY):
        priority = rule.get_attr("FRA_PRIORITY") or 0
        plain = not any(rule.get_attr(f"FRA_{name}") for name in ("SRC", "DST", "IIFNAME"))
        if rule.get_attr("FRA_TABLE") == LOCAL_TABLE and plain and priority < LOCAL:
            protocol = rule.get_attr("FRA_PROTOCOL") or 0
            later = changes.RuleAdded(FAMILY, RoutingRule(LOCAL, LOCAL_TABLE))
            moved = changes.LocalRuleRemoved(FAMILY, priority, protocol)
            journal.make([later, moved])
