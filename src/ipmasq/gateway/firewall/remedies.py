"""Rules that let the gateway's packets pass, as commands of the tool that keeps the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ipmasq.gateway.firewall.chains import Table
from ipmasq.gateway.firewall.ways import DOWN, ESTABLISHED, UP, Purpose, Way, Where
from ipmasq.planes.ebpf.layout import ADMITTED

BOTH = "ipmasq-*"
MARK = f"{ADMITTED:#x}"
FIREWALLD = "inet firewalld"
ZONE = "ipmasq-tun"
"""The zone of the device by which hairpinned packets pass. No policy may have the same name."""
POLICIES = {
    Purpose.OUTGOING: "ipmasq-out",
    Purpose.PUBLISHED: "ipmasq-in",
    Purpose.HAIRPIN: "ipmasq-hairpin",
}


def remedy(
    table: Table, chain: str, dropped: Sequence[Way], where: Where, before: bool = False
) -> Sequence[str]:
    """Return commands of the tool to which the table belongs. `before`: a rule about some packets drops
    these, so that the new rule must precede all others."""
    if before:
        table = replace(
            table, chains={chain: table.chains[chain]}
        )  # not where a tool has its users' rules
    if table.name == FIREWALLD and not before:
        return _firewalld(dropped, where)
    if before:  # not behind it, in the chain that a tool leaves to its users
        table = replace(table, chains={chain: table.chains[chain]})
    if where.once:
        return tuple(dict.fromkeys(_accept(table, chain, way, where) for way in dropped))
    return (_pass(table, chain, iif=BOTH), _pass(table, chain, oif=BOTH))


def _accept(table: Table, chain: str, way: Way, where: Where) -> str:
    """Return the rule that lets packets which pass once go this way."""
    if way.state == ESTABLISHED:
        return _established(table, chain)
    return _pass(table, chain, way.iif, way.oif, marked=way.iif == where.outside)


def _firewalld(dropped: Sequence[Way], where: Where) -> Sequence[str]:
    """Return commands for firewalld, which accepts packets between zones by policies. The gateway's own
    devices are in no zone yet."""
    both = " ".join(f"--add-interface={name}" for name in (UP, DOWN))
    said: list[str] = []
    if not where.once:
        said += [f"firewall-cmd --permanent --zone=trusted {both}"]
        said += _policy("ipmasq", ("ANY",), ("trusted",))
    for purpose in dict.fromkeys(way.purpose for way in dropped if where.once):
        ways = [way for way in dropped if way.purpose is purpose and way.state != ESTABLISHED]
        if not ways:  # established connections are accepted in any case
            continue
        iifs = tuple(_zone(way.iif) for way in ways)
        oifs = tuple(_zone(way.oif) for way in ways)
        if purpose is Purpose.HAIRPIN:
            said += [f"firewall-cmd --permanent --new-zone={ZONE}"]
            said += [f"firewall-cmd --permanent --zone={ZONE} --change-interface={UP}"]
            iifs = oifs = (*iifs, *oifs)
        said += _policy(POLICIES[purpose], iifs, oifs)
    return (*said, "firewall-cmd --reload")


def unmasqueraded(where: Where) -> str:
    """Return how to make firewalld leave translation to the gateway."""
    zone = _zone(where.outside)
    return f"firewall-cmd --permanent --zone={zone} --remove-masquerade && firewall-cmd --reload"


def _zone(interface: str) -> str:
    if interface == UP:
        return ZONE
    return f"$(firewall-cmd --get-zone-of-interface={interface} || firewall-cmd --get-default-zone)"


def _policy(name: str, ingress: Sequence[str], egress: Sequence[str]) -> tuple[str, ...]:
    """Return the commands for a policy that accepts everything from some zones to others."""
    start = f"firewall-cmd --permanent --policy={name}"
    ingress = [f"--add-ingress-zone={zone}" for zone in dict.fromkeys(ingress)]
    egress = [f"--add-egress-zone={zone}" for zone in dict.fromkeys(egress)]
    return (  # one kind of option at a time is allowed
        f"firewall-cmd --permanent --new-policy={name}",
        f"{start} {' '.join(ingress)}",
        f"{start} {' '.join(egress)}",
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
    """Return where to insert the rule. Docker leaves one chain to the operator."""
    return "DOCKER-USER" if "DOCKER-USER" in table.chains else chain
