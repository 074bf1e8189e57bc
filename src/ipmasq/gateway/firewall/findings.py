"""Finds rules that drop or translate the gateway's packets against the operator's intention, and the rule to
add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ipmasq.gateway.firewall.chains import Rule, Table, Verdict
from ipmasq.gateway.firewall.remedies import FIREWALLD, remedy, unmasqueraded
from ipmasq.gateway.firewall.ways import NEW, UP, Ends, Way, Where, ways


class Finding(NamedTuple):
    rules: str
    """The rule set: `nft inet filter`, `iptables filter`, `iptables-legacy filter`."""
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


def findings(tables: Sequence[Table], where: Where) -> tuple[Finding, ...]:
    """Return the findings. If the kernel translates as well, so that packets pass twice for now, the findings
    include what packets need once it no longer does, so that one round of corrections is enough."""
    later = where
    if where.able and any(translates(table, where) for table in tables):
        later = replace(where, once=True)
    return tuple(each for table in tables for each in _findings(table, where, later))


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
            chain, _facts(inside, where.outside, NEW) | {"proto": "tcp", "saddr": network}
        )
        for chain in table.postrouting
        for inside in where.inside
        for network in networks
    )


def _drops(table: Table, where: Where, passed: Iterable[Way], ends: Ends) -> Iterator[Finding]:
    whose = f"{table.kind} {table.name}"
    for chain in table.forward:
        dropped = [way for way in passed if _is_dropped(table, chain, way, ends)]
        if dropped:
            said = ", ".join(dict.fromkeys(map(str, dropped)))
            text = f"the host's firewall drops the gateway's packets: {whose}, chain {chain}, does not accept {said}"
            yield Finding(whose, text, f"add: {' && '.join(remedy(table, chain, dropped, where))}")


def _findings(table: Table, where: Where, later: Where) -> Iterator[Finding]:
    whose = f"{table.kind} {table.name}"
    yield from _drops(table, later, ways(later), Ends())
    if where.able and translates(table, where):
        text = f"{whose} masquerades what leaves by {where.outside}, which the gateway does"
        how = unmasqueraded(where) if table.name == FIREWALLD else "remove that rule"
        yield Finding(whose, f"{text}; so packets pass the firewall twice", how)
    unseen = 0 if where.once else _unseen(table, where)
    if unseen:
        pairs = ", ".join(f"{inside} -> {where.outside}" for inside in where.inside)
        count = f"{unseen} rule{'s' * (unseen != 1)}"
        text = f"{count} of {whose} forbid something from {pairs}, and no packet passes there"
        yield Finding(whose, text, f"write {UP} in the place of {where.outside} there")


def _facts(iif: str, oif: str, state: str) -> dict[str, str]:
    return {"iif": iif, "oif": oif, "state": state, "status": "confirmed", "nfproto": "ipv4"}


def _is_dropped(table: Table, chain: str, way: Way, ends: Ends) -> bool:
    """Return whether the packet is certainly dropped."""
    facts = _facts(way.iif, way.oif, way.state) | ends.facts(way)
    return table.verdicts(chain, facts) == {Verdict.DROP}


def _unseen(table: Table, where: Where) -> int:
    rules = (rule for chain in table.chains.values() for rule in chain.rules)
    return sum(_never_sees(rule, where) for rule in rules)


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
