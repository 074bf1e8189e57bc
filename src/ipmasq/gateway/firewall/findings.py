"""What a firewall does to the gateway's packets that its operator cannot want, and which rule mends it.

Where programs can see to it (`Where.once`), packets pass the forward hook as they would if the kernel
translated them, with the inside host's own address: inside interface -> outside interface, and back. Else twice:

    inside interface -> ipmasq-in          ipmasq-in -> outside interface
    outside interface -> ipmasq-out        ipmasq-out -> inside interface
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ipmasq.core.side import Side
from ipmasq.gateway.firewall.chains import Rule, Table, Verdict
from ipmasq.planes.ebpf.layout import ADMITTED
from ipmasq.planes.tun.steering import DEVICE

UP, DOWN = DEVICE[Side.INSIDE], DEVICE[Side.OUTSIDE]
BOTH = "ipmasq-*"
MARK = f"{ADMITTED:#x}"
NEW, ESTABLISHED = "new", "established"


@dataclass(frozen=True, slots=True)
class Where:
    """The interfaces that the gateway stands between, and what it lets pass there."""

    outside: str
    inside: tuple[str, ...]
    networks: tuple[str, ...] = ()
    """Of inside hosts."""
    once: bool = False
    """Whether packets pass once; `able`: whether they could."""
    able: bool = False
    forwards: bool = False
    """Whether servers are published."""


class Finding(NamedTuple):
    rules: str
    """Whose: `nft inet filter`, `iptables filter`, `iptables-legacy filter`."""
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


class Way(NamedTuple):
    iif: str
    oif: str
    state: str

    def __str__(self) -> str:
        return f"{self.iif} -> {self.oif}" + (" (new)" if self.state == NEW else "")


def ways(where: Where) -> Iterator[Way]:
    """First of connections from inside, then of those to published servers."""
    if where.once:
        for inside in where.inside:
            yield Way(inside, where.outside, NEW)
            yield Way(where.outside, inside, ESTABLISHED)
    else:
        for inside in where.inside:
            yield Way(inside, UP, NEW)
            yield Way(DOWN, inside, ESTABLISHED)
        yield Way(UP, where.outside, NEW)
        yield Way(where.outside, DOWN, ESTABLISHED)
    if where.forwards:
        inner, outer = (where.outside, where.outside) if where.once else (DOWN, DOWN)
        yield from (Way(inner, inside, NEW) for inside in where.inside)
        if not where.once:
            yield Way(where.outside, outer, NEW)


def findings(tables: Iterable[Table], where: Where) -> tuple[Finding, ...]:
    return tuple(each for table in tables for each in _findings(table, where))


def translates(table: Table, where: Where) -> bool:
    """Whether the kernel may masquerade what is the gateway's to translate."""
    networks = where.networks or ("0.0.0.0/0",)
    return any(
        Verdict.TRANSLATE in table.verdicts(chain, _facts(inside, where.outside, NEW, network))
        for chain in table.postrouting
        for inside in where.inside
        for network in networks
    )


def _findings(table: Table, where: Where) -> Iterator[Finding]:
    whose = f"{table.kind} {table.name}"
    for chain in table.forward:
        dropped = [way for way in ways(where) if _is_dropped(table, chain, way)]
        if dropped:
            said = ", ".join(dict.fromkeys(map(str, dropped)))
            text = f"the host's firewall drops the gateway's packets: {whose}, chain {chain}, does not accept {said}"
            yield Finding(whose, text, f"add: {' && '.join(remedy(table, chain, dropped, where))}")
    if where.able and translates(table, where):
        text = f"{whose} masquerades what leaves by {where.outside}, which the gateway does"
        tool = (
            "firewall-cmd --permanent --zone=external --remove-masquerade && firewall-cmd --reload"
        )
        how = tool if table.name == "inet firewalld" else "remove that rule"
        yield Finding(whose, f"{text}; so packets pass the firewall twice", how)
    unseen = 0 if where.once else _unseen(table, where)
    if unseen:
        pairs = ", ".join(f"{inside} -> {where.outside}" for inside in where.inside)
        count = f"{unseen} rule{'s' * (unseen != 1)}"
        text = f"{count} of {whose} forbid something from {pairs}, and no packet passes there"
        yield Finding(whose, text, f"write {UP} in the place of {where.outside} there")


def _facts(iif: str, oif: str, state: str, source: str = "") -> dict[str, str]:
    facts = {"iif": iif, "oif": oif, "state": state, "status": "confirmed", "nfproto": "ipv4"}
    facts["proto"] = "tcp"
    return facts | ({"saddr": source} if source else {})


def _is_dropped(table: Table, chain: str, way: Way) -> bool:
    """For certain."""
    return table.verdicts(chain, _facts(*way)) == {Verdict.DROP}


def _unseen(table: Table, where: Where) -> int:
    rules = (rule for chain in table.chains.values() for rule in chain.rules)
    return sum(_never_sees(rule, where) for rule in rules)


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


def remedy(table: Table, chain: str, dropped: Sequence[Way], where: Where) -> Sequence[str]:
    """Commands, as the tool that the table belongs to wants them."""
    if where.once:
        return tuple(dict.fromkeys(_accept(table, chain, way, where) for way in dropped))
    if table.name == "inet firewalld":
        names = " ".join(f"--add-interface={name}" for name in (UP, DOWN))
        return (
            f"firewall-cmd --permanent --zone=trusted {names}",
            *_policy("ipmasq", ("ANY",), ("trusted",)),
            "firewall-cmd --reload",
        )
    return (_pass(table, chain, iif=BOTH), _pass(table, chain, oif=BOTH))


def _accept(table: Table, chain: str, way: Way, where: Where) -> str:
    """What lets packets that pass once go this way."""
    from_outside = way.iif == where.outside
    if way.state == ESTABLISHED:
        return _established(table, chain)
    if table.name == "inet firewalld":
        zones = [f"$(firewall-cmd --get-zone-of-interface={name})" for name in (way.iif, way.oif)]
        name = "ipmasq-in" if from_outside else "ipmasq-out"
        return " && ".join((*_policy(name, zones[:1], zones[1:]), "firewall-cmd --reload"))
    return _pass(table, chain, way.iif, way.oif, marked=from_outside)


def _policy(name: str, ingress: Sequence[str], egress: Sequence[str]) -> tuple[str, ...]:
    start = f"firewall-cmd --permanent --policy={name}"
    return (
        f"firewall-cmd --permanent --new-policy={name}",
        f"{start} --add-ingress-zone={ingress[0]} --add-egress-zone={egress[0]}",
        f"{start} --set-target=ACCEPT",
    )


def _established(table: Table, chain: str) -> str:
    if table.kind == "nft":
        return f"nft insert rule {table.name} {chain} ct state established,related accept"
    position = _position(table, chain)
    return f"{table.kind} -I {position} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"


def _pass(table: Table, chain: str, iif: str = "", oif: str = "", marked: bool = False) -> str:
    if "ufw-user-forward" in table.chains:
        ends = [f"{word} on {name}" for word, name in (("in", iif), ("out", oif)) if name]
        return f"ufw route allow {' '.join(ends)}".replace("*", "+")
    if table.kind == "nft":
        words = [f'{word} "{name}"' for word, name in (("iifname", iif), ("oifname", oif)) if name]
        words += [f"meta mark and {MARK} == {MARK}"] * marked
        return f"nft insert rule {table.name} {chain} {' '.join(words)} accept"
    words = [f"{word} {name}" for word, name in (("-i", iif), ("-o", oif)) if name]
    words += [f"-m mark --mark {MARK}/{MARK}"] * marked
    command = f"{table.kind} -I {_position(table, chain)} {' '.join(words)} -j ACCEPT"
    return command.replace("*", "+")


def _position(table: Table, chain: str) -> str:
    """Docker keeps its hands off one chain."""
    return "DOCKER-USER" if "DOCKER-USER" in table.chains else chain
