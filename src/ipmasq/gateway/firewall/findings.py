"""Finds rules that drop or translate the gateway's packets against the operator's intention, and the rule to
add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from ipmasq.core.policy import Forward
from ipmasq.gateway.firewall.chains import Rule, Table, Verdict
from ipmasq.gateway.firewall.finding import Finding
from ipmasq.gateway.firewall.input_hook import MOST_NAMED, mistaken
from ipmasq.gateway.firewall.masquerading import masquerading, masquerading_of, translates
from ipmasq.gateway.firewall.remedies import Drop, remedy, removals
from ipmasq.gateway.firewall.ways import (
    NEW,
    UP,
    Ends,
    Purpose,
    Way,
    Where,
    at,
    of_forward,
    outgoing,
    ways,
)
from ipmasq.wire.addresses import Address
from ipmasq.wire.lines import foreign

DROPS = "the host's firewall drops the gateway's packets"

UNSEEN = "what the rules forbid passes"
TAKEN = "some packets that are meant for the host are judged by rules for other interfaces"

MOST_FORWARDS = 64
MOST_RULES = 20_000
"""The most published servers of which each is looked at by itself, and the most rules that are looked at for all of
them: the gateway's packets wait meanwhile."""


def findings(
    tables: Sequence[Table],
    where: Where,
    forwards: Iterable[Forward] = (),
    interface_to: Callable[[Address], str | None] = lambda _: None,
) -> tuple[Finding, ...]:
    """Return the findings, those about single published servers last. If the kernel translates as well, so that
    packets pass twice for now, the findings include what packets need once it no longer does, so that one round
    of corrections is enough. `interface_to` returns the interface by which an address is reached."""
    later = where
    if where.able and any(translates(table, where) for table in tables):
        later = replace(where, once=True)
    later = replace(later, answers=where.answers and not _refuses_pings(tables, where))
    twice = replace(where, once=False)
    hang = _hang(tables, (way for each in where.inside for way in outgoing(twice, each)), Ends())
    found = [each for table in tables for each in _findings(table, where, later, hang)]
    rules = sum(len(chain.rules) for table in tables for chain in table.chains.values())
    for forward in islice(forwards, min(MOST_FORWARDS, MOST_RULES // max(1, rules))):
        passed = of_forward(forward, later, interface_to)
        for table in tables:
            whose = f"forward {foreign(forward.name)}: "
            found += _drops(table, later, passed, Ends.to(forward), whose, Ends())
    return tuple(found)


def obstructions(
    tables: Sequence[Table], where: Where, ways_of: Callable[[Where], Iterable[Way]], ends: Ends
) -> tuple[Finding, ...]:
    """Return what drops the packets of one flow, of which more is known than of all flows, and what translates
    them. `ways_of` returns the ways of the flow."""
    passed, once = tuple(ways_of(where)), tuple(ways_of(replace(where, once=True)))
    found: list[Finding] = []
    hang = _hang(tables, ways_of(replace(where, once=False)), ends)
    for table in tables:
        found += _drops(table, where, passed, ends)
        if where.able:
            found += masquerading_of(table, where, once, ends, hang)
    return tuple(found)


def _drops(
    table: Table,
    where: Where,
    passed: Iterable[Way],
    ends: Ends,
    whose: str = "",
    known: Ends | None = None,
) -> Iterator[Finding]:
    """Yield what drops packets, except where they are dropped with what is `known` already."""
    for chain in table.forward:
        dropped = [way for way in passed if _is_dropped(table, chain, way, ends)]
        if known is not None:
            dropped = [way for way in dropped if not _is_dropped(table, chain, way, known)]
        if dropped:
            yield _finding(table, chain, _without_pings(dropped), ends, whose, where)


def _refuses_pings(tables: Sequence[Table], where: Where) -> bool:
    """Return whether no inside host may ping the gateway, so that nobody expects an answer."""
    return all(
        any(
            table.verdicts(chain, at(inside, "", NEW) | {"proto": "icmp"}) == {Verdict.DROP}
            for table in tables
            for chain in table.input
        )
        for inside in where.inside
    )


def _without_pings(dropped: Sequence[Way]) -> list[Way]:
    """Return the ways without those of pings that other packets need as well."""
    needed = {way[:2] for way in dropped if way.purpose is not Purpose.PING}
    return [way for way in dropped if way.purpose is not Purpose.PING or way[:2] not in needed]


def _finding(
    table: Table, chain: str, dropped: Sequence[Way], ends: Ends, whose: str, where: Where
) -> Finding:
    rules = f"{table.kind} {table.name}"
    said = ", ".join(dict.fromkeys(map(str, dropped)))
    text = f"{whose}{DROPS}: {rules}, chain {chain}, does not accept {said}"
    facts = [_facts(way, ends) for way in dropped]
    paths = [table.dropping(chain, each) for each in facts]
    drops = [Drop(*each) for each in zip(dropped, paths, facts, strict=True)]
    culprits = dict.fromkeys(each.rule for each in drops if each.rule is not None)
    text += "".join(f"; {each.location} drops it: {each.shown}" for each in culprits)
    how, deletes = remedy(table, chain, drops, where, ends), removals(table, chain, drops)
    told = f"add: {' && '.join(how)}" + f"; or delete: {' && '.join(deletes)}" * bool(deletes)
    are_meant = any(each.is_meant for each in drops)
    only_pings = all(way.purpose is Purpose.PING for way in dropped)
    return Finding(rules, text, told, how, are_meant, deletes, only_pings)


def _findings(table: Table, where: Where, later: Where, hang: bool) -> Iterator[Finding]:
    whose = f"{table.kind} {table.name}"
    yield from _drops(table, later, ways(later), Ends())
    if where.able:
        yield from masquerading(table, where, hang)
    if where.renamed and (wrong := mistaken(table, where)):
        yield Finding(whose, *wrong, effect=TAKEN)
    unseen = [] if where.once else _unseen(table, where)
    if unseen:
        pairs = ", ".join(f"{inside} -> {where.outside}" for inside in where.inside)
        count = "1 rule" if len(unseen) == 1 else f"{len(unseen)} rules"
        forbid = "forbids" if len(unseen) == 1 else "forbid"
        text = f"{count} of {whose} {forbid} something from {pairs}, and no packet passes there"
        text += "".join(f"; {each.location}: {each.shown}" for each in unseen[:MOST_NAMED])
        how = f"write {UP} in the place of {where.outside} there"
        yield Finding(whose, text, how, effect=UNSEEN)


def _facts(way: Way, ends: Ends) -> dict[str, str]:
    return at(way.iif, way.oif, way.state) | ends.facts(way)


def _hang(tables: Iterable[Table], passed: Iterable[Way], ends: Ends) -> bool:
    """Return whether packets are certainly dropped on one of these ways."""
    return any(
        _is_dropped(table, chain, way, ends)
        for way in passed
        for table in tables
        for chain in table.forward
    )


def _is_dropped(table: Table, chain: str, way: Way, ends: Ends) -> bool:
    """Return whether the packet is certainly dropped."""
    return table.verdicts(chain, _facts(way, ends)) == {Verdict.DROP}


def _unseen(table: Table, where: Where) -> list[Rule]:
    rules = (rule for chain in table.chains.values() for rule in chain.rules)
    return [rule for rule in rules if _never_sees(rule, where)]


def _never_sees(rule: Rule, where: Where) -> bool:
    """Return whether the rule forbids only packets that go from an inside interface directly to the outside
    one."""
    if rule.verdict is not Verdict.DROP or rule.jump:
        return False
    named = {each.key: each for each in rule.conditions if not each.negated}
    if "iif" not in named or "oif" not in named:
        return False
    entered = any(named["iif"].holds({"iif": inside}) for inside in where.inside)
    left = named["oif"].holds({"oif": where.outside}) and not named["oif"].holds({"oif": UP})
    return bool(entered and left)
