"""Finds rules by which the kernel translates what the gateway translates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipmasq.gateway.firewall import firewalld
from ipmasq.gateway.firewall.chains import Facts, Rule, Table, Verdict
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.input_hook import MOST_NAMED
from ipmasq.gateway.firewall.remedies import removal
from ipmasq.gateway.firewall.ways import NEW, UP, Ends, Way, Where, at
from ipmasq.wire.lines import is_one_command

TWICE = "so packets pass the firewall twice, and hang where it accepts them only once"
HANG = "so packets pass the firewall twice, and hang, since it accepts them only once"

MAY_HANG = "connections hang where the firewall does not accept packets that pass it twice"
ALL_HANG = "connections of inside hosts hang: the firewall drops packets that pass it twice"


def translates(table: Table, where: Where) -> bool:
    """Return whether the kernel may masquerade packets that the gateway translates."""
    return bool(_rules(table, _leaving(where)))


def masquerading(table: Table, where: Where, hang: bool) -> Iterator[Finding]:
    """Yield what is found for packets from inside hosts in general. `hang`: whether the firewall drops them for
    certain while they pass it twice."""
    if rules := _rules(table, _leaving(where)):
        yield _finding(table, rules, where, hang)


def masquerading_of(
    table: Table, where: Where, passed: Iterable[Way], ends: Ends, hang: bool
) -> Iterator[Finding]:
    """Yield what is found for one flow. `passed`: its ways if its packets pass once. `hang`: whether the firewall
    drops them for certain while they pass it twice."""
    opening = (way for way in passed if way.state == NEW and UP not in way[:2])
    facts = (at(way.iif, way.oif, way.state) | ends.facts(way) for way in opening)
    if rules := _rules(table, facts):
        yield _finding(table, rules, where, hang)


def _leaving(where: Where) -> Iterator[Facts]:
    for inside in where.inside:
        for network in where.networks or ("0.0.0.0/0",):
            yield at(inside, where.outside, NEW) | {"proto": "tcp", "saddr": network}


def _rules(table: Table, packets: Iterable[Facts]) -> tuple[Rule, ...]:
    """Return the rules that may translate one of these packets."""
    found = [
        rule
        for facts in packets
        for chain in table.postrouting
        if Verdict.TRANSLATE in table.verdicts(chain, facts)
        for rule in table.translating(chain, facts)
    ]
    return tuple({rule.location: rule for rule in found}.values())


def _finding(table: Table, rules: tuple[Rule, ...], where: Where, hang: bool) -> Finding:
    whose = f"{table.kind} {table.name}"
    text = f"{whose} masquerades what leaves by {where.outside}, which the gateway does; "
    text += HANG if hang else TWICE
    effect = ALL_HANG if hang else MAY_HANG
    named = [each for each in rules if each.said]
    text += "".join(f"; {each.location}: {each.shown}" for each in named[:MOST_NAMED])
    if table.name == firewalld.TABLE:
        return Finding(whose, text, firewalld.unmasqueraded(where), effect=effect)
    if not named:
        return Finding(whose, text, "remove that rule", effect=effect)
    deletes = tuple(removal(table, each) for each in named)
    if not all(map(is_one_command, deletes)):
        return Finding(whose, text, "remove that rule", effect=effect)
    return Finding(whose, text, f"delete: {' && '.join(deletes)}", deletes=deletes, effect=effect)
