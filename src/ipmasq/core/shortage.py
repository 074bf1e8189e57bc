"""Reports shortages of flows or public ports, before they occur and when a flow is refused for one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import NamedTuple

from ipmasq.core import events
from ipmasq.core.counts import marks, near_from
from ipmasq.core.flow import Flow
from ipmasq.core.mapping import Mapping
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.reasons import Reason
from ipmasq.core.table import Table
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, to_text

WINDOW = 60.0
"""Seconds between two events about the same host and limit."""

ROOM = 256
"""The most pairs of a host and a limit that are distinguished."""

PROTOCOLS = {ipv4.ICMP: "ICMP", ipv4.TCP: "TCP", ipv4.UDP: "UDP"}


class _Reported:
    __slots__ = ("refusals", "until")

    def __init__(self) -> None:
        self.until = 0.0
        """No further event before this time."""
        self.refusals = 0
        """Refusals since the last event."""

    def to_state(self, key: Hashable, now: float) -> Plain:
        plain = list(key) if isinstance(key, tuple) else None
        return {"key": plain, "until": self.until - now, "refusals": self.refusals}

    @classmethod
    def from_state(cls, state: Fields, now: float) -> _Reported:
        made = cls()
        made.until, made.refusals = state.moment("until", now), state.integer("refusals")
        return made


class Shortage:
    def __init__(self, table: Table, emit: Callable[[events.Event], None]) -> None:
        self._table = table
        self._emit = emit
        self._reported: dict[Hashable, _Reported] = {}
        """Events about a host. There can be very many hosts."""
        self._reported_totals: dict[Hashable, _Reported] = {}
        """Events about limits of all hosts together."""

    def to_state(self, now: float) -> Plain:
        """Return as plain values what was reported, so that nothing is reported again too soon."""
        return {
            "hosts": [each.to_state(key, now) for key, each in self._reported.items()],
            "totals": [each.to_state(key, now) for key, each in self._reported_totals.items()],
        }

    def restore(self, state: Fields, now: float) -> None:
        """Take over what was reported. Raises StateError."""
        for name, known in (("hosts", self._reported), ("totals", self._reported_totals)):
            for each in state.rows(name):
                key = each.fields_or_none("key")
                values = None if key is None else tuple(map(key.scalar, range(len(key))))
                known[values] = _Reported.from_state(each, now)

    def opened(self, flow: Flow, now: float) -> None:
        """Check the limits after a flow was opened, perhaps with a mapping."""
        table = self._table
        limits, host = table.policy.limits, flow.host
        if table.count in marks(limits.flows):
            self._near(now, "flows", None, None, 0, table.count, limits.flows)
        if table.hosts[host] in marks(limits.flows_per_host):
            count = table.hosts[host]
            self._near(now, "flows_per_host", host, None, 0, count, limits.flows_per_host)
        if flow.mapping is not None and flow.mapping.flows == 1:
            self.mapped(flow.mapping, now)

    def mapped(self, mapping: Mapping, now: float) -> None:
        """Check the limits after a mapping was made."""
        table, pool, protocol = self._table, mapping.pool, mapping.protocol
        if mapping.shared:
            return  # shared ports are not used up
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
        """Report that a new flow of a host was refused because of a limit."""
        told = self._about((reason, host, protocol), now)
        told.refusals += 1
        if now < told.until:
            return
        most = limit_of(self._table, reason)
        refusals, told.refusals, told.until = told.refusals, 0, now + WINDOW
        self._emit(events.LimitReached(now, reason, host, protocol, most, refusals))

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
        told = self._about(key, now) if host else self._reported_totals.setdefault(key, _Reported())
        if now >= told.until:
            told.until = now + WINDOW
            self._emit(events.LimitNeared(now, limit, host, address, protocol, used, most))

    def _about(self, key: Hashable, now: float) -> _Reported:
        """Return what was reported about a key. When the table is full, all further keys share one entry."""
        if key not in self._reported and len(self._reported) >= ROOM:
            self._reported = {k: told for k, told in self._reported.items() if told.until > now}
            if len(self._reported) >= ROOM:
                key = None
        return self._reported.setdefault(key, _Reported())


class Use(NamedTuple):
    """The usage of one limit by an inside host."""

    limit: str
    """`flows_per_host` or `ports_per_host`."""
    host: Address
    protocol: int
    """The protocol of the ports; 0 for flows."""
    used: int
    most: int


def near_limits(table: Table, most: int | None = None) -> Iterator[Use]:
    """Yield the inside hosts that have reached a limit or are near it: from four fifths on, as for warnings. `most`: of
    each limit only so many, the nearest ones. Other hosts cost nothing."""
    limits = table.policy.limits
    for host, used in islice(table.hosts.near(), most):
        yield Use("flows_per_host", host, 0, used, limits.flows_per_host)
    for (protocol, host), used in islice(table.mappings.ports.near(), most):
        yield Use("ports_per_host", host, protocol, used, limits.ports_per_host)


def apply_limits(table: Table) -> None:
    """Find which hosts are near the limits of a changed policy."""
    table.hosts.limit(table.policy.limits.flows_per_host)
    table.mappings.ports.limit(table.policy.limits.ports_per_host)


def is_near(used: int, most: int) -> bool:
    """Return whether four fifths of a limit are in use, as `near_limits` and warnings have it."""
    return used >= near_from(most)


def limit_of(table: Table, reason: Reason) -> int:
    """Return the limit that was reached."""
    limits = table.policy.limits
    return {
        Reason.TABLE_FULL: limits.flows,
        Reason.HOST_LIMIT: limits.flows_per_host,
        Reason.PORT_LIMIT: limits.ports_per_host,
    }.get(reason, table.policy.ports.size)


def sentence(reason: Reason, host: Address, protocol: int, most: int) -> str:
    """Return why a flow is refused, with the value of the limit."""
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
