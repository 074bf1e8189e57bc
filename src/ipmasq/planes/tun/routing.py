"""Restores routing rules and routes that the plane depends on when other software has removed them.

`ip rule flush`, an `ip rule del` of the wrong rule, or a network manager that claims all rules can do so at any
time. Routing is checked only after the kernel has reported such a change, so that a host with many rules has
no cost otherwise.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core.policy import PortRange
from ipmasq.planes.netlink import Reports
from ipmasq.planes.tun.changes import (
    IPV4_FAMILY,
    UNREACHABLE_METRIC,
    LocalRuleRemoved,
    RuleAdded,
    UnreachableAdded,
)
from ipmasq.planes.tun.steering import DEVICE, LOCAL, LOCAL_TABLE, TABLE, RoutingRule
from ipmasq.planes.tun.watched import Restored
from ipmasq.wire.addresses import Network, to_address

# <linux/rtnetlink.h>: IPv4 routes and rules.
GROUPS = 0x40 | 0x80
RTM_DELROUTE, RTM_NEWRULE, RTM_DELRULE = 25, 32, 33
RT_TABLE_COMPAT = 252
"""The value in place of the number of a table beyond 255, like ours."""

ANY_PROTOCOL = 0

_TABLE = struct.Struct("=4xB")


class Routing:
    """The routing of the network namespace in which this object was made."""

    def __init__(self) -> None:
        self._reports = Reports(GROUPS)
        self._troubled = False

    def close(self) -> None:
        self._reports.close()

    def restore(self, kernel: IPRoute, rules: Sequence[RoutingRule]) -> tuple[Restored, ...]:
        """Restore rules and routes that are missing, and return them, with `trouble` if that failed. `rules`
        are those that must exist."""
        if not (self._have_come() or self._troubled):
            return ()
        found = {rule_of(message) for message in kernel.get_rules(family=IPV4_FAMILY)}
        moved = RoutingRule(LOCAL, LOCAL_TABLE)
        missing = [rule for rule in (moved, *rules) if rule not in found]
        early = sorted(rule for rule in found if precedes(rule))
        restored = (
            *again("ip rule", map(rule_text, missing), _add_rules(kernel, missing)),
            *_removed(kernel, early),
            *restore_routes(kernel),
        )
        self._troubled = any(each.trouble for each in restored)
        return restored

    def _have_come(self) -> bool:
        """Return whether a rule or route of ours may have been removed, or their order broken, since the last
        call."""
        reports = list(self._reports.take())
        return any(report is None or _concerns(*report) for report in reports)


def _concerns(kind: int, body: bytes) -> bool:
    if kind == RTM_DELROUTE:
        return bool(_TABLE.unpack_from(body)[0] == RT_TABLE_COMPAT)
    return kind in (RTM_NEWRULE, RTM_DELRULE)


def rule_of(message: Any) -> RoutingRule:
    """Return a rule as the kernel has it. Attributes that our rules never have are ignored: such a rule is
    not ours, and its priority is above ours."""
    to, ports = message.get_attr("FRA_DST"), message.get_attr("FRA_DPORT_RANGE")
    return RoutingRule(
        message.get_attr("FRA_PRIORITY") or 0,
        message.get_attr("FRA_TABLE") or message["table"],
        message.get_attr("FRA_IIFNAME"),
        Network(to_address(to), message["dst_len"]) if to else None,
        message.get_attr("FRA_IP_PROTO") or 0,
        _ports(ports) if ports else None,
        message.get_attr("FRA_FWMASK") or 0,
    )


def _ports(said: Any) -> PortRange:
    if isinstance(said, str):
        low, _, high = said.partition(":")
        return PortRange(int(low), int(high or low))
    return PortRange(said["start"], said["end"])


def precedes(rule: RoutingRule) -> bool:
    """Return whether the rule sends the gateway's packets to the host before the gateway gets them."""
    return rule == RoutingRule(rule.priority, LOCAL_TABLE) and rule.priority < LOCAL


def _add_rules(kernel: IPRoute, rules: Iterable[RoutingRule]) -> str:
    """Add rules, which are on record already. Return what was refused."""
    return _troubles(lambda rule: RuleAdded(IPV4_FAMILY, rule).make(kernel), rules)


def _removed(kernel: IPRoute, rules: Sequence[RoutingRule]) -> Iterator[Restored]:
    for rule in rules:
        change = LocalRuleRemoved(IPV4_FAMILY, rule.priority, ANY_PROTOCOL)
        trouble = _troubles(lambda change: change.make(kernel), [change])
        yield Restored(f"ip rule {rule_text(rule)}", "present", "absent", trouble)


def restore_routes(kernel: IPRoute) -> Iterator[Restored]:
    """Restore the two routes of each table of ours: to the device, and as a fallback to nowhere."""
    for side, table in TABLE.items():
        found = list(kernel.get_routes(family=IPV4_FAMILY, table=table))
        index = kernel.link_lookup(ifname=DEVICE[side])
        if index and not any(each.get_attr("RTA_OIF") == index[0] for each in found):
            trouble = _troubles(lambda route: kernel.route("add", **route), [_to(index[0], table)])
            yield from again("ip route", [f"default dev {DEVICE[side]} table {table}"], trouble)
        if not any(each.get_attr("RTA_PRIORITY") == UNREACHABLE_METRIC for each in found):
            last = UnreachableAdded(IPV4_FAMILY, table)
            trouble = _troubles(lambda change: change.make(kernel), [last])
            yield from again("ip route", [f"unreachable default table {table}"], trouble)


def _to(index: int, table: int) -> dict[str, Any]:
    return {"family": IPV4_FAMILY, "dst": "default", "oif": index, "table": table}


def _troubles(do: Callable[[Any], object], arguments: Iterable[Any]) -> str:
    """Do it with each. Return the first refusal other than that it exists already."""
    trouble = ""
    for each in arguments:
        try:
            do(each)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                trouble = trouble or str(error)
    return trouble


def again(what: str, texts: Iterable[str], trouble: str) -> Iterator[Restored]:
    """Yield one report for all that was removed, as by `ip rule flush`."""
    first, *more = (*texts, "")
    if first:
        others = f" and {len(more) - 1} more of the gateway's" if len(more) > 1 else ""
        yield Restored(f"{what} {first}{others}", "", "", trouble)


def rule_text(rule: RoutingRule) -> str:
    """Return the rule as `ip rule` shows it."""
    words = [f"{rule.priority}: from all"]
    words += [f"to {rule.to}"] if rule.to else []
    words += [f"fwmark 0/{rule.unmarked:#x}"] if rule.unmarked else []
    words += [f"iif {rule.iif}"] if rule.iif else []
    words += [f"ipproto {rule.protocol}"] if rule.protocol else []
    words += [f"dport {rule.ports}"] if rule.ports else []
    return " ".join((*words, f"lookup {'local' if rule.table == LOCAL_TABLE else rule.table}"))
