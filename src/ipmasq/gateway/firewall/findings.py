"""Finds rules that drop or translate the gateway's packets against the operator's intention, and the rule to
add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from ipmasq.core.policy import Forward
from ipmasq.gateway.firewall.chains import Rule, Table, Verdict
from ipmasq.gateway.firewall.input_hook import MOST_NAMED, mistaken
from ipmasq.gateway.firewall.remedies import FIREWALLD, remedy, unmasqueraded
from ipmasq.gateway.firewall.ways import NEW, UP, Ends, Way, Where, of_forward, ways
from ipmasq.wire.addresses import Address

DROPS = "the host's firewall drops the gateway's packets"

MOST_FORWARDS = 64
MOST_RULES = 20_000
"""The most published servers of which each is looked at by itself, and the most rules that are looked at for all of
them: the gateway's packets wait meanwhile."""


class Finding(NamedTuple):
    rules: str
    """The rule set: `nft inet filter`, `iptables filter`, `iptables-legacy filter`."""
    what: str
    remedy: str
    commands: tuple[str, ...] = ()
    """The remedy as commands, if it is to add rules."""
    is_meant: bool = False
    """Whether a rule about some packets only drops them, so that the operator may have meant it."""

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


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
    found = [each for table in tables for each in _findings(table, where, later)]
    rules = sum(len(chain.rules) for table in tables for chain in table.chains.values())
    for forward in islice(forwards, min(MOST_FORWARDS, MOST_RULES // max(1, rules))):
        passed = of_forward(forward, later, interface_to)
        for table in tables:
            whose = f"forward {forward.name}: "
            found += _drops(table, later, passed, Ends.to(forward), whose, Ends())
    return tuple(found)


def obstructions(
    tables: Iterable[Table], where: Where, passed: Iterable[Way], ends: Ends
) -> tuple[Finding, ...]:
    """Return what drops the packets of one flow, of which more is known than of all flows."""
    found = tuple(passed)
    return tuple(each for table in tables for each in _drops(table, where, found, ends))


def translates(table: Table, where: Where) -> bool:
    """Return whether the kernel may masquerade packets that the gateway translates."""
    networks = where.networks or ("0.0.0.0/0",)
    return any(
        Verdict.TRANSLATE
        in table.verdicts(
            chain, _at(inside, where.outside, NEW) | {"proto": "tcp", "saddr": network}
        )
        for chain in table.postrouting
        for inside in where.inside
        for network in networks
    )


def _drops(
    table: Table,
    where: Where,
    passed: Iterable[Way],
    ends: Ends,
    whose: str = "",
    known: Ends | None = None,
) -> Iterator[Finding]:
    """Yield what drops packets, except where they are dropped with what is `known` already."""
    rules = f"{table.kind} {table.name}"
    for chain in table.forward:
        dropped = [way for way in passed if _is_dropped(table, chain, way, ends)]
        if known is not None:
            dropped = [way for way in dropped if not _is_dropped(table, chain, way, known)]
        if dropped:
            said = ", ".join(dict.fromkeys(map(str, dropped)))
            text = f"{whose}{DROPS}: {rules}, chain {chain}, does not accept {said}"
            found = [table.dropping(chain, _facts(way, ends)) for way in dropped]
            culprits = dict.fromkeys(each for each in found if each is not None)
            text += "".join(f"; {each.place} drops it: {each.said}" for each in culprits)
            is_meant = any(each.conditions for each in culprits)
            how = tuple(remedy(table, chain, dropped, where, is_meant))
            yield Finding(rules, text, f"add: {' && '.join(how)}", how, is_meant)


def _findings(table: Table, where: Where, later: Where) -> Iterator[Finding]:
    whose = f"{table.kind} {table.name}"
    yield from _drops(table, later, ways(later), Ends())
    if where.able and translates(table, where):
        text = f"{whose} masquerades what leaves by {where.outside}, which the gateway does"
        how = unmasqueraded(where) if table.name == FIREWALLD else "remove that rule"
        text += "; so packets pass the firewall twice, and hang where it accepts them only once"
        rules = [each for chain in table.postrouting for each in table.chains[chain].rules]
        named = [each for each in rules if each.verdict is Verdict.TRANSLATE and each.said]
        text += "".join(f"; {each.place}: {each.said}" for each in named[:MOST_NAMED])
        yield Finding(whose, text, how)
    if where.renamed and (wrong := mistaken(table, where)):
        yield Finding(whose, *wrong)
    unseen = [] if where.once else _unseen(table, where)
    if unseen:
        pairs = ", ".join(f"{inside} -> {where.outside}" for inside in where.inside)
        count = "1 rule" if len(unseen) == 1 else f"{len(unseen)} rules"
        forbid = "forbids" if len(unseen) == 1 else "forbid"
        text = f"{count} of {whose} {forbid} something from {pairs}, and no packet passes there"
        text += "".join(f"; {each.place}: {each.said}" for each in unseen[:MOST_NAMED])
        yield Finding(whose, text, f"write {UP} in the place of {where.outside} there")


def _facts(way: Way, ends: Ends) -> dict[str, str]:
    return _at(way.iif, way.oif, way.state) | ends.facts(way)


def _at(iif: str, oif: str, state: str) -> dict[str, str]:
    return {"iif": iif, "oif": oif, "state": state, "status": "confirmed", "nfproto": "ipv4"}


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
