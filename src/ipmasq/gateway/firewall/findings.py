"""What a firewall does to the gateway's packets that its operator cannot want, and which rule mends it.

They pass the forward hook twice, once before the engine has translated them and once after:

    inside interface -> ipmasq-in          ipmasq-in -> outside interface
    outside interface -> ipmasq-out        ipmasq-out -> inside interface

so rules that accept what goes from an inside interface to the outside one never see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ipmasq.core.side import Side
from ipmasq.gateway.firewall.chains import Rule, Table, Verdict
from ipmasq.planes.tun.steering import DEVICE

UP, DOWN = DEVICE[Side.INSIDE], DEVICE[Side.OUTSIDE]
NEW, ESTABLISHED = "new", "established"


@dataclass(frozen=True, slots=True)
class Where:
    """The interfaces that the gateway stands between."""

    outside: str
    inside: tuple[str, ...]


class Finding(NamedTuple):
    table: str
    """Whose rules: `nft inet filter`, `iptables filter`, `iptables-legacy filter`."""
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


class Way(NamedTuple):
    iif: str
    oif: str
    state: str

    def __str__(self) -> str:
        return f"{self.iif} -> {self.oif}"


def ways(where: Where) -> Iterator[Way]:
    """How packets of flows opened from inside go, and last what is let in from outside."""
    for inside in where.inside:
        yield Way(inside, UP, NEW)
    yield Way(UP, where.outside, NEW)
    yield Way(where.outside, DOWN, ESTABLISHED)
    yield from (Way(DOWN, inside, ESTABLISHED) for inside in where.inside)
    yield Way(where.outside, DOWN, NEW)
    yield from (Way(DOWN, inside, NEW) for inside in where.inside)


def findings(tables: Iterable[Table], where: Where) -> tuple[Finding, ...]:
    return tuple(each for table in tables for each in _findings(table, where))


def _findings(table: Table, where: Where) -> Iterator[Finding]:
    whose = f"{table.kind} {table.name}"
    for chain in table.forward:
        dropped = [way for way in ways(where) if _is_dropped(table, chain, way)]
        if dropped:
            said = ", ".join(dict.fromkeys(map(str, dropped)))
            all_ = (dropped[0].state == NEW and dropped[0].oif == UP) or dropped[0].iif == UP
            what = "what inside hosts send or receive" if all_ else "what servers and helpers await"
            text = (
                f"the host's firewall drops {what}: {whose}, chain {chain}, does not accept {said}"
            )
            yield Finding(whose, text, f"add: {' && '.join(remedy(table, chain))}")
    unseen = sum(
        _never_sees(rule, where) for chain in table.chains.values() for rule in chain.rules
    )
    if unseen:
        pairs = ", ".join(f"{inside} -> {where.outside}" for inside in where.inside)
        count = f"{unseen} rule{'s' * (unseen != 1)}"
        text = f"{count} of {whose} forbid something from {pairs}, and no packet passes there"
        yield Finding(whose, text, f"write {UP} in the place of {where.outside} there")


def _is_dropped(table: Table, chain: str, way: Way) -> bool:
    """For certain."""
    facts = {"iif": way.iif, "oif": way.oif, "state": way.state}
    facts |= {"status": "confirmed", "nfproto": "ipv4"}
    return table.verdicts(chain, facts) == {Verdict.DROP}


def _never_sees(rule: Rule, where: Where) -> bool:
    """Whether it forbids only what would go from an inside interface straight to the outside one."""
    if rule.verdict is not Verdict.DROP or rule.jump:
        return False
    named = {each.key: each for each in rule.conditions if not each.negated}
    if "iif" not in named or "oif" not in named:
        return False
    entered = any(named["iif"].holds({"iif": inside}) for inside in where.inside)
    left = named["oif"].holds({"oif": where.outside}) and not named["oif"].holds({"oif": UP})
    return bool(entered and left)


def remedy(table: Table, chain: str) -> Sequence[str]:
    """Commands, as the tool that owns the table wants them."""
    both = ("ipmasq-in", "ipmasq-out")
    if table.name == "inet firewalld":
        names = " ".join(f"--add-interface={name}" for name in both)
        return (f"firewall-cmd --permanent --zone=trusted {names}", "firewall-cmd --reload")
    if "ufw-user-forward" in table.chains:
        return ("ufw route allow in on ipmasq-+", "ufw route allow out on ipmasq-+")
    if table.kind == "nft":
        start = f"nft insert rule {table.name} {chain}"
        return (f'{start} iifname "ipmasq-*" accept', f'{start} oifname "ipmasq-*" accept')
    place = "DOCKER-USER" if "DOCKER-USER" in table.chains else chain
    return (
        f"{table.kind} -I {place} -i ipmasq-+ -j ACCEPT",
        f"{table.kind} -I {place} -o ipmasq-+ -j ACCEPT",
    )
