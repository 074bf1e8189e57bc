"""The MTU: an outside link that takes smaller packets than the inside ones, as PPPoE and tunnels do."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

CLAMPS = ("maxseg size set", "TCPMSS")
"""Statements of nftables and of iptables that reduce what TCP connections send at once."""
LEAST = 576
"""Every host takes datagrams of this size (RFC 791, 3.1)."""


def find(host: Host) -> Iterator[Finding]:
    outside = host.sides.outside
    if outside is None or outside not in host.links or any(each in host.rules for each in CLAMPS):
        return
    most = host.links[outside].mtu
    larger = [name for name in host.own if name != outside and host.links[name].mtu > most]
    if most < LEAST:
        what = f"{outside} takes packets of {most} bytes at most"
        yield Finding("MTU", what, "most connections stall", f"ip link set dev {outside} mtu 1500")
    elif larger:
        yield Finding(
            "MTU",
            f"{outside} takes packets of {most} bytes at most, and {', '.join(larger)} larger ones",
            "transfers stall with hosts that do not receive the ICMP errors about it",
            f"reduce what TCP sends: nft insert rule TABLE forward oifname {outside}"
            " tcp flags syn tcp option maxseg size set rt mtu",
        )
