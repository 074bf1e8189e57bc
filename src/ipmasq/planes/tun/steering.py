"""The routing rules that bring packets to the plane, computed from plain facts.

Packets of inside hosts are diverted after the kernel's `local` table (so that the host keeps what is addressed
to it); packets of remote hosts to a public address must be diverted before, because that address is usually the
host's own. So `local` moves down, and these rules precede it:

    KEEP     to P, TCP or UDP, ports without a claim      -> local   (the host's own services)
    CLAIM    from OUT or IN_i, to P, TCP, UDP or ICMP     -> the engine

The rules keep unclaimed ports, instead of diverting claimed ones, because a fragment has no ports: it matches
no port rule, and must go to the engine, which alone can find its flow.

Packets from the engine come from `ipmasq-*`, which no CLAIM names, so only `local` and `main` apply to them.
Those for the host itself come in by OUT once more, with a mark (`reentry`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ipmasq.core.policy import Claim, PortRange, merged, without
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Address, Network

DEVICE = {Side.INSIDE: "ipmasq-in", Side.OUTSIDE: "ipmasq-out"}
TABLE = {Side.INSIDE: 61001, Side.OUTSIDE: 61002}
LOCAL_TABLE = 255

HOST_DEVICE = "ipmasq-host"
"""The device of `reentry`."""
DEVICES = (*DEVICE.values(), HOST_DEVICE)

HANDED_BACK = 0x1000_0000
"""The bit of the mark of packets that the engine has returned to the host; `ADMITTED` in bpf/layout.h."""

# The priorities are as low as possible: no other rules should be between ours, and all others after them.
KEEP, CLAIM, LOCAL, FROM_INSIDE, TO_INSIDE = 1, 2, 3, 4, 5

LAST_PORT = 65534
TCP = 6
UDP = 17


class RoutingRule(NamedTuple):
    """`ip rule add priority P [iif IIF] [to TO] [ipproto PROTOCOL] [dport PORTS] lookup TABLE`."""

    priority: int
    table: int
    iif: str | None = None
    to: Network | None = None
    protocol: int = 0
    ports: PortRange | None = None
    unmarked: int = 0
    """Only packets that have none of these bits in their mark: `fwmark 0/UNMARKED`."""


@dataclass(frozen=True, slots=True)
class HostState:
    """The interfaces of the gateway, and the host's addresses."""

    outside: str
    inside: tuple[str, ...]
    networks: tuple[Network, ...]
    own: frozenset[Address]


def base_rules(where: HostState, unmarked: int = 0) -> tuple[RoutingRule, ...]:
    """Return the rules after `local`, which do not depend on claims. Packets with a bit of `unmarked` in
    their mark are left to later rules."""
    inside, outside = TABLE[Side.INSIDE], TABLE[Side.OUTSIDE]
    return (
        *(RoutingRule(FROM_INSIDE, inside, iif=name, unmarked=unmarked) for name in where.inside),
        *(
            RoutingRule(TO_INSIDE, outside, iif=where.outside, to=net, unmarked=unmarked)
            for net in where.networks
        ),
    )


def claim_rules(
    where: HostState, claims: Sequence[Claim], unmarked: int = 0
) -> tuple[RoutingRule, ...]:
    """Return the rules before `local`, in the order in which to add them. Packets with a bit of `unmarked` in
    their mark have been to the engine, and belong to the host; so have those from outside to an address of the
    host with HANDED_BACK."""
    rules: list[RoutingRule] = []
    entrances = [(where.outside, TABLE[Side.OUTSIDE], HANDED_BACK)]
    entrances += [(name, TABLE[Side.INSIDE], 0) for name in where.inside]
    for address in sorted({claim.address for claim in claims}):
        to = Network(address, 8 * len(address))
        if address not in where.own:
            rules += [
                RoutingRule(CLAIM, table, iif, to, unmarked=unmarked) for iif, table, _ in entrances
            ]
            continue
        for protocol in sorted({claim.protocol for claim in claims if claim.address == address}):
            if protocol in (TCP, UDP):
                taken = [c.ports for c in claims if c[:2] == (protocol, address)]
                rules += [
                    RoutingRule(KEEP, LOCAL_TABLE, None, to, protocol, ports)
                    for ports in gaps(taken)
                ]
            rules += [
                RoutingRule(CLAIM, table, iif, to, protocol, unmarked=unmarked | handed_back)
                for iif, table, handed_back in entrances
            ]
    return tuple(rules)


def proxied(where: HostState, claims: Sequence[Claim]) -> tuple[Address, ...]:
    """Return public addresses that the host does not have, so that ARP requests for them must be answered by
    proxy."""
    return tuple(sorted({claim.address for claim in claims} - where.own))


def reserved(claims: Sequence[Claim], own: Collection[Address]) -> tuple[PortRange, ...]:
    """Return ports that the host's own outgoing connections must not use."""
    return merged(c.ports for c in claims if c.protocol in (TCP, UDP) and c.address in own)


def gaps(taken: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Return the ports from 1 to 65534 that are in none of `taken` (the kernel accepts no rule about 65535:
    the engine gets that port, and returns the host's packets)."""
    return without(PortRange(1, LAST_PORT), taken)
