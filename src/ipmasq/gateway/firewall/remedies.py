"""Rules that let the gateway's packets pass, as commands of the tool that keeps the rules.

If the question was about one flow or one published server, or a rule about some packets drops these, the rule to
add is as narrow as that: these interfaces, this protocol and port, and the addresses that the dropping rule tests.
Whatever it accepts, it stands directly before the rule that drops, or behind all others where none is known to, so
that what the rules before it forbid stays forbidden. Rules behind the one that drops were not reached by these packets;
they count if that one is deleted instead (`removals`).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from ipmasq.gateway.firewall import firewalld
from ipmasq.gateway.firewall.accepting import Accept
from ipmasq.gateway.firewall.chains import Rule, Table, Verdict
from ipmasq.gateway.firewall.ways import ESTABLISHED, NEW, Ends, Purpose, Way, Where
from ipmasq.planes.tun.steering import DEVICE
from ipmasq.wire.lines import is_one_command

BOTH = "ipmasq-*"
TESTED = frozenset(("saddr", "daddr", "dport", "proto", ""))
"""Conditions of a rule about some packets only. The empty key: a condition that is not understood."""


class Drop(NamedTuple):
    way: Way
    path: tuple[Rule, ...]
    """The rule that drops packets which go this way, after those that lead to it; empty if it is not known."""
    facts: dict[str, str]
    """What is known of such a packet."""

    @property
    def rule(self) -> Rule | None:
        return self.path[-1] if self.path else None

    @property
    def tested(self) -> frozenset[str]:
        return frozenset(each.key for rule in self.path for each in rule.conditions)

    @property
    def is_meant(self) -> bool:
        """Whether the rule is about some packets only, so that the operator may have meant it."""
        return bool(self.path and self.path[-1].conditions) or not self.tested.isdisjoint(TESTED)


def remedy(
    table: Table, chain: str, drops: Sequence[Drop], where: Where, ends: Ends
) -> tuple[str, ...]:
    """Return commands that add rules."""
    are_meant = any(each.is_meant for each in drops)
    is_narrow = are_meant or ends != Ends()
    accepts = [
        (each, _narrow(each, ends, where) if is_narrow else _wide(each, where)) for each in drops
    ]
    if table.name == firewalld.TABLE and not are_meant:
        return firewalld.remedy([(drop.way, accept) for drop, accept in accepts], where)
    # Positions are those of now: the last one first.
    accepts.sort(key=lambda each: (-(each[0].rule.number if each[0].rule else 0), not each[1].iif))
    return tuple(dict.fromkeys(_command(table, chain, *each) for each in accepts))


def removal(table: Table, rule: Rule) -> str:
    """Return the command that deletes a rule."""
    if table.kind == "nft":
        return f"nft delete rule {table.name} {rule.chain} handle {rule.number}"
    words = shlex.join(["-D", *shlex.split(rule.said)[1:]])
    return f"{table.kind} {f'-t {table.name} ' * (table.name != 'filter')}{words}"


def removals(table: Table, chain: str, drops: Sequence[Drop]) -> tuple[str, ...]:
    """Return commands that delete the rules about some packets which drop these. Nothing if packets would be
    dropped after that, too, or a rule does something else as well."""
    rules = {each.rule.location: each.rule for each in drops if each.rule and each.is_meant}
    left = table
    for rule in rules.values():
        same = [each for each in table.chains[rule.chain].rules if each.number == rule.number]
        if len(same) > 1 or not rule.said:
            return ()
        left = left.without(rule)
    if any(left.verdicts(chain, each.facts) == {Verdict.DROP} for each in drops):
        return ()
    found = tuple(removal(table, rule) for rule in rules.values())
    return found if all(map(is_one_command, found)) else ()


def _narrow(drop: Drop, ends: Ends, where: Where) -> Accept:
    """Return what accepts the packets that were dropped, as narrow as the question or the rule that drops them."""
    way, facts, tested = drop.way, drop.facts, drop.tested
    if way.state != NEW:
        return Accept(way.iif, way.oif, established=True)
    known = ends != Ends()
    is_server = known and way.purpose is not Purpose.OUTGOING
    return Accept(
        way.iif,
        way.oif,
        facts.get("saddr", "") if "saddr" in tested else "",
        facts.get("daddr", "") if is_server or "daddr" in tested else "",
        facts["proto"] if known or way.protocol or tested & {"proto", "dport"} else "",
        facts.get("dport", ""),
        marked=way.iif == where.outside,
    )


def _wide(drop: Drop, where: Where) -> Accept:
    """Return what accepts all packets of the gateway that pass this way."""
    way = drop.way
    if not where.once:
        return Accept(BOTH) if way.iif in DEVICE.values() else Accept(oif=BOTH)
    if way.state == ESTABLISHED:
        return Accept(established=True)
    return Accept(way.iif, way.oif, protocol=way.protocol, marked=way.iif == where.outside)


def _command(table: Table, chain: str, drop: Drop, accept: Accept) -> str:
    if not drop.is_meant and "ufw-user-forward" in table.chains and (said := accept.ufw()):
        return said
    if table.kind == "nft":
        return f"nft {_place_of_nft(table, chain, drop, accept)} {accept.nft()}"
    return f"{table.kind} {_place_of_iptables(table, chain, drop, accept)} {accept.iptables()}"


def _place_of_nft(table: Table, chain: str, drop: Drop, accept: Accept) -> str:
    if drop.rule is not None:
        return f"insert rule {table.name} {drop.rule.chain} handle {drop.rule.number}"
    last = _passes_as_last(table, chain, drop, accept)
    return f"{'add' if last else 'insert'} rule {table.name} {chain}"


def _place_of_iptables(table: Table, chain: str, drop: Drop, accept: Accept) -> str:
    if "DOCKER-USER" in table.chains and not drop.is_meant:
        return "-I DOCKER-USER"  # the chain that Docker leaves to the operator
    if drop.rule is not None:
        return f"-I {drop.rule.chain} {drop.rule.number}"
    last = _passes_as_last(table, chain, drop, accept)
    return f"{'-A' if last else '-I'} {chain}"


def _passes_as_last(table: Table, chain: str, drop: Drop, accept: Accept) -> bool:
    """Return whether the rule works behind all others."""
    return table.with_last(chain, accept.rule()).verdicts(chain, drop.facts) != {Verdict.DROP}
