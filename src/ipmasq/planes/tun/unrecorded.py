"""Routing rules, routes, proxy entries and pinned programs of a killed gateway whose record is lost.

The record is below /run, which ends with a container that has no mount there, or is removed by hand. The kernel still
has what it was about, and what is exactly as a gateway makes it is the gateway's. Settings are not found: nothing says
what they were before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from ipmasq.core.side import Side
from ipmasq.planes.tun.changes import (
    IPV4_FAMILY,
    PROTOCOL_STATIC,
    UNREACHABLE_METRIC,
    Change,
    LocalRuleRemoved,
    ProxyAdded,
    RuleAdded,
    UnreachableAdded,
    told,
)
from ipmasq.planes.tun.devices import Devices
from ipmasq.planes.tun.journal import Journal
from ipmasq.planes.tun.pinning import pinned, unpin
from ipmasq.planes.tun.routing import rule_of
from ipmasq.planes.tun.rules import proxies
from ipmasq.planes.tun.steering import (
    CLAIM,
    DEVICE,
    FROM_INSIDE,
    KEEP,
    LOCAL,
    LOCAL_TABLE,
    TABLE,
    TO_INSIDE,
    RoutingRule,
)
from ipmasq.wire.addresses import to_text

PROTOCOL_KERNEL = 2  # RTPROT_KERNEL: that of the rules that are there from the start
UNREACHABLE = 7  # RTN_UNREACHABLE
TO_TABLE = 1  # FR_ACT_TO_TBL

MOVED = RoutingRule(LOCAL, LOCAL_TABLE)
NOT_OURS = "FRA_SRC", "FRA_OIFNAME", "FRA_FWMARK", "FRA_SPORT_RANGE", "FRA_UID_RANGE"


log = logging.getLogger("ipmasq")


def adopt(kernel: IPRoute, journal: Journal, devices: Devices) -> Journal:
    """Let what is in force be this gateway's own, unless it has taken over from a predecessor, and return the journal.
    To be called when the devices are open: then no other gateway lives."""
    found = [] if journal.adopted else in_force(kernel, journal.directory)
    if found:
        log.warning(
            "a gateway was killed here and left changes without a record, which are undone when this one ends: %s; "
            "the kernel settings that it changed are not known and stay",
            told(found),
        )
    journal.adopt(found)
    if not devices.were_taken:  # the programs lead to devices that are gone
        unpin(journal, devices)
    return journal


def abandoned(kernel: IPRoute, directory: Path) -> Sequence[Change]:
    """Return what is in force, unless there are devices: then a gateway lives, or what keeps its devices."""
    if any(kernel.link_lookup(ifname=name) for name in DEVICE.values()):
        return []
    return in_force(kernel, directory)


def in_force(kernel: IPRoute, directory: Path) -> Sequence[Change]:
    """Return what any gateway has pinned and changed of the routing here, in the order in which it does that. `directory` is
    that of the record of changes."""
    return [*pinned(directory), *_routing(kernel)]


def _routing(kernel: IPRoute) -> Sequence[Change]:
    messages = list(kernel.get_rules(family=IPV4_FAMILY))
    found: list[Change] = list(_unreachable(kernel))
    rules = own_rules(map(rule_of, filter(_is_static, messages)), bool(found))
    local = [rule_of(each) for each in messages]
    if MOVED in rules:
        found.append(RuleAdded(IPV4_FAMILY, MOVED))
        if not any(rule.table == LOCAL_TABLE and rule.priority == 0 for rule in local):
            found.append(LocalRuleRemoved(IPV4_FAMILY, 0, PROTOCOL_KERNEL))
    found += [RuleAdded(IPV4_FAMILY, rule) for rule in rules if rule != MOVED]
    return [*found, *_proxies(kernel, rules)]


def own_rules(rules: Iterable[RoutingRule], has_routes: bool) -> Sequence[RoutingRule]:
    """Return those that a gateway has made. Rules that lead to `local` may be other software's, as of systemd-networkd, unless there
    are others or routes (`has_routes`) of the tables that only a gateway has: it makes those first."""
    own = [rule for rule in rules if is_own(rule)]
    return own if has_routes or any(each.table in TABLE.values() for each in own) else []


def is_own(rule: RoutingRule) -> bool:
    """Return whether a rule of the protocol `static` is one that `steering` makes for some gateway."""
    inside, outside = TABLE[Side.INSIDE], TABLE[Side.OUTSIDE]
    has_way, has_goal = rule.iif is not None, rule.to is not None
    forms = {
        KEEP: rule.table == LOCAL_TABLE and has_goal and not has_way and rule.ports is not None,
        CLAIM: rule.table in (inside, outside) and has_way and has_goal,
        LOCAL: rule == MOVED,
        FROM_INSIDE: rule.table == inside and has_way and not has_goal,
        TO_INSIDE: rule.table == outside and has_way and has_goal,
    }
    return forms.get(rule.priority, False)


def _is_static(message: Any) -> bool:
    """Return whether a rule has the protocol that a gateway gives its rules, and nothing that none of them has."""
    plain = message["action"] == TO_TABLE and not any(map(message.get_attr, NOT_OURS))
    return plain and message.get_attr("FRA_PROTOCOL") == PROTOCOL_STATIC


def _unreachable(kernel: IPRoute) -> Iterator[Change]:
    for table in TABLE.values():
        for route in kernel.get_routes(family=IPV4_FAMILY, table=table):
            if (route["type"], route.get_attr("RTA_PRIORITY")) == (UNREACHABLE, UNREACHABLE_METRIC):
                yield UnreachableAdded(IPV4_FAMILY, table)


def _proxies(kernel: IPRoute, rules: Sequence[RoutingRule]) -> Iterator[Change]:
    """Yield the entries for addresses that a rule brings from the same interface to the outside device."""
    claimed = {
        (rule.iif, to_text(rule.to.address))
        for rule in rules
        if rule.priority == CLAIM and rule.table == TABLE[Side.OUTSIDE] and rule.to
    }
    indices = {name: (*kernel.link_lookup(ifname=name), 0)[0] for name, _ in claimed}
    wanted = {ProxyAdded(indices[name], address) for name, address in claimed}
    yield from wanted & proxies(kernel)
