"""What to tell firewalld, which accepts packets between zones by policies.

The gateway's own devices are in no zone, until the operator puts them into one.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipmasq.gateway.firewall.accepting import Accept
from ipmasq.gateway.firewall.ways import DOWN, ESTABLISHED, UP, Purpose, Way, Where

TABLE = "inet firewalld"
ZONE = "ipmasq-tun"
"""The zone of the device by which hairpinned packets pass. No policy may have the same name."""

POLICIES = {
    Purpose.OUTGOING: "ipmasq-out",
    Purpose.PUBLISHED: "ipmasq-in",
    Purpose.HAIRPIN: "ipmasq-hairpin",
    Purpose.PING: "ipmasq-ping",
}
ALL = "--set-target=ACCEPT"


def remedy(dropped: Sequence[tuple[Way, Accept]], where: Where) -> tuple[str, ...]:
    """Return the commands. What is accepted is limited to a protocol and port only if packets pass once."""
    said: list[str] = []
    if not where.once:
        both = " ".join(f"--add-interface={name}" for name in (UP, DOWN))
        said += [f"firewall-cmd --permanent --zone=trusted {both}"]
        said += _policy("ipmasq", ("ANY",), ("trusted",), ALL)
        return (*said, "firewall-cmd --reload")
    opening = [each for each in dropped if each[0].state != ESTABLISHED]
    for purpose in dict.fromkeys(way.purpose for way, _ in opening):
        same = [each for each in opening if each[0].purpose is purpose]
        said += _of(purpose, [way for way, _ in same], [accept for _, accept in same])
    return (*said, "firewall-cmd --reload")


def unmasqueraded(where: Where) -> str:
    """Return how to make firewalld leave translation to the gateway."""
    zone = _zone(where.outside)
    return f"firewall-cmd --permanent --zone={zone} --remove-masquerade && firewall-cmd --reload"


def _of(purpose: Purpose, ways: Sequence[Way], accepts: Sequence[Accept]) -> list[str]:
    """Return the commands for connections of one kind; established ones are accepted in any case."""
    said: list[str] = []
    iifs = tuple(_zone(way.iif) for way in ways)
    oifs = tuple(_zone(way.oif) for way in ways)
    if UP in {name for way in ways for name in way[:2]}:
        said += [f"firewall-cmd --permanent --new-zone={ZONE}"]
        said += [f"firewall-cmd --permanent --zone={ZONE} --change-interface={UP}"]
        iifs = oifs = (*iifs, *oifs)
    name, grant = POLICIES[purpose], _grant(accepts)
    if grant != ALL:
        ends = "-".join(each for each in (accepts[-1].protocol, accepts[-1].port) if each)
        name = f"{name.removeprefix('ipmasq-')}-{ends}"
    return [*said, *_policy(name, iifs, oifs, grant)]


def _grant(accepts: Sequence[Accept]) -> str:
    if not all(each.protocol for each in accepts):
        return ALL
    ports = [f"--add-port={each.port}/{each.protocol}" for each in accepts if each.port]
    protocols = [f"--add-protocol={each.protocol}" for each in accepts if not each.port]
    return " ".join(dict.fromkeys((*ports, *protocols)))


def _zone(interface: str) -> str:
    if interface == UP:
        return ZONE
    return f"$(firewall-cmd --get-zone-of-interface={interface} || firewall-cmd --get-default-zone)"


def _policy(
    name: str, ingress: Sequence[str], egress: Sequence[str], grant: str
) -> tuple[str, ...]:
    """Return the commands for a policy that accepts something from some zones to others."""
    start = f"firewall-cmd --permanent --policy={name}"
    ingress = [f"--add-ingress-zone={zone}" for zone in dict.fromkeys(ingress)]
    egress = [f"--add-egress-zone={zone}" for zone in dict.fromkeys(egress)]
    return (  # one kind of option at a time is allowed
        f"firewall-cmd --permanent --new-policy={name}",
        f"{start} {' '.join(ingress)}",
        f"{start} {' '.join(egress)}",
        f"{start} {grant}",
    )
