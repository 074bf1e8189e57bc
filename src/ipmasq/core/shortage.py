"""Who runs short of flows or public ports: told before it happens, and when something is refused for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache

from ipmasq.core import events
from ipmasq.core.flow import Flow
from ipmasq.core.mapping import Mapping
from ipmasq.core.reasons import Reason
from ipmasq.core.table import Table
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, to_text

PARTS = (80, 95)
"""In a hundred of what there may be: when to warn."""

SMALLEST = 20
"""Of fewer ports or flows than this, four fifths are nothing to warn of."""

WINDOW = 60.0
"""Seconds between two events about the same host and limit."""

ROOM = 256
"""Hosts and limits that are told apart at a time."""

PROTOCOLS = {ipv4.ICMP: "ICMP", ipv4.TCP: "TCP", ipv4.UDP: "UDP"}


@lru_cache(64)
def marks(most: int) -> frozenset[int]:
    """At which numbers to warn."""
    return frozenset(-(-most * part // 100) for part in PARTS) if most >= SMALLEST else frozenset()


class _Told:
    __slots__ = ("refusals", "until")

    def __init__(self) -> None:
        self.until = 0.0
        """Nothing more is told before."""
        self.refusals = 0
        """Since it was told."""


class Shortage:
    def __init__(self, table: Table, tell: Callable[[events.Event], None]) -> None:
        self._table = table
        self._tell = tell
        self._told: dict[Hashable, _Told] = {}
        """About hosts; there can be very many."""
        self._told_of_all: dict[Hashable, _Told] = {}
        """About what all hosts have together."""

    def opened(self, flow: Flow, now: float) -> None:
        """There is one flow more, and perhaps a mapping."""
        table = self._table
        limits, host = table.policy.limits, flow.host
        if len(table.flows) in marks(limits.flows):
            self._near(now, "flows", None, None, 0, len(table.flows), limits.flows)
        if table.hosts[host] in marks(limits.flows_per_host):
            count = table.hosts[host]
            self._near(now, "flows_per_host", host, None, 0, count, limits.flows_per_host)
        if flow.mapping is not None and flow.mapping.flows == 1:
            self.mapped(flow.mapping, now)

    def mapped(self, mapping: Mapping, now: float) -> None:
        """There is one mapping more."""
        table, pool, protocol = self._table, mapping.pool, mapping.protocol
        if mapping.shared:
            return  # which nobody can use up
        if pool.used in marks(pool.ports.size):
            self._near(now, "ports", None, pool.address, protocol, pool.used, pool.ports.size)
        host = mapping.inside.address
        most, count = (
            table.policy.limits.ports_per_host,
            table.mappings.ports.get((protocol, host), 0),
        )
        if count in marks(most):
            self._near(now, "ports_per_host", host, None, protocol, count, most)

    def refused(self, reason: Reason, host: Address, protocol: int, now: float) -> None:
        """A new flow of a host was refused for lack of something."""
        told = self._about((reason, host, protocol), now)
        told.refusals += 1
        if now < told.until:
            return
        most = most_of(self._table, reason)
        refusals, told.refusals, told.until = told.refusals, 0, now + WINDOW
        self._tell(events.LimitReached(now, reason, host, protocol, most, refusals))

    def _near(
        self,
        now: float,
        limit: str,
        host: Address | None,
        address: Address | None,
        protocol: int,
        used: int,
        most: int,
    ) -> None:
        key = limit, host, address, protocol, used
        told = self._about(key, now) if host else self._told_of_all.setdefault(key, _Told())
        if now >= told.until:
            told.until = now + WINDOW
            self._tell(events.LimitNeared(now, limit, host, address, protocol, used, most))

    def _about(self, key: Hashable, now: float) -> _Told:
        """What was told about it. With no room for more, all the others are one."""
        if key not in self._told and len(self._told) >= ROOM:
            self._told = {k: told for k, told in self._told.items() if told.until > now}
            if len(self._told) >= ROOM:
                key = None
        return self._told.setdefault(key, _Told())


def most_of(table: Table, reason: Reason) -> int:
    """How much there may be of what is short."""
    limits = table.policy.limits
    return {
        Reason.TABLE_FULL: limits.flows,
        Reason.HOST_LIMIT: limits.flows_per_host,
        Reason.PORT_LIMIT: limits.ports_per_host,
    }.get(reason, table.policy.ports.size)


def sentence(reason: Reason, host: Address, protocol: int, most: int) -> str:
    """Why a flow is refused, with whose limit it is."""
    match reason:
        case Reason.TABLE_FULL:
            return f"the flow table is full ({most:,})"
        case Reason.HOST_LIMIT:
            return f"host {to_text(host)} has reached its limit of {most:,} flows"
        case Reason.PORT_LIMIT:
            return f"host {to_text(host)} has reached its limit of {most:,} {name(protocol)} ports"
    return reason.sentence


def name(protocol: int) -> str:
    return PROTOCOLS.get(protocol, f"protocol {protocol}")
