"""Finds ordinary traffic of inside hosts that the host's firewall drops, which the operator may have meant.

What it drops of all traffic alike is reported as an obstruction (`findings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ipmasq.gateway.firewall.chains import Facts, Rule, Table, Verdict
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.ways import NEW, RELATED, Ends, Way, Where, at, outgoing


class Service(NamedTuple):
    name: str
    protocol: str
    port: str
    state: str = NEW
    """How conntrack calls its first packet."""

    def __str__(self) -> str:
        return f"{self.name} ({self.protocol} {self.port})"


SERVICES = (
    Service("DNS", "udp", "53"),
    Service("HTTP", "tcp", "80"),
    Service("HTTPS", "tcp", "443"),
    Service("FTP", "tcp", "21"),
    Service("FTP data connections in passive mode", "tcp", "1024-65535", RELATED),
)

ASK = "if inside hosts need it, `ipmasq explain PROTOCOL SOURCE DESTINATION` says which rule to add"


def forbidden(tables: Sequence[Table], where: Where) -> tuple[Finding, ...]:
    """Return one finding for each chain that drops some of it for certain."""
    return tuple(found for table in tables for found in _forbidden(table, where))


def _forbidden(table: Table, where: Where) -> Iterator[Finding]:
    for chain in table.forward:
        ways = [
            way
            for inside in where.inside
            for way in outgoing(where, inside)
            if way.state == NEW and not _drops(table, chain, _all(way))
        ]
        dropped = {
            service: facts
            for service in SERVICES
            for way in ways
            for facts in _packets(service, way, where)
            if _drops(table, chain, facts)
        }
        if dropped:
            rules = f"{table.kind} {table.name}"
            names = ", ".join(map(str, dropped))
            reasons = dict.fromkeys(_reason(table, chain, facts) for facts in dropped.values())
            text = f"inside hosts may not use {names}: {rules}, {'; '.join(reasons)}"
            yield Finding(rules, text, ASK)


def _all(way: Way) -> Facts:
    return at(way.iif, way.oif, way.state) | Ends().facts(way)


def _packets(service: Service, way: Way, where: Where) -> Iterator[Facts]:
    """Yield what is known of the first packets, by the network of inside hosts from which they come."""
    known = at(way.iif, way.oif, service.state)
    known |= {"proto": service.protocol, "dport": service.port}
    if not way.source:  # it has the public address there
        yield known
        return
    for network in where.networks:
        yield known | {"saddr": network}


def _drops(table: Table, chain: str, facts: Facts) -> bool:
    return table.verdicts(chain, facts) == {Verdict.DROP}


def _reason(table: Table, chain: str, facts: Facts) -> str:
    path: tuple[Rule, ...] = table.dropping(chain, facts)
    return (
        f"{path[-1].location}: {path[-1].shown}"
        if path
        else f"chain {chain} accepts other traffic only"
    )
