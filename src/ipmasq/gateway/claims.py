"""Which packets to the host's own addresses a plane brings to the engine.

The engine says what its policy asks for. Beyond that, what belongs to living flows and mappings keeps
coming to it, whatever the policy says by now and whoever has bound a port; and what the host itself
uses is left to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from ipmasq.core.claims import given_out
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.policy import Claim, Policy, PortRange
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, Endpoint

InUse: TypeAlias = frozenset[tuple[int, int]]
"""(protocol, port) of the host's own sockets."""

IsMapped: TypeAlias = Callable[[int, Endpoint], bool]
"""Whether a public endpoint, of this protocol, stands for an inside one."""


def left_over(
    claims: Sequence[Claim],
    ranges: Collection[PortRange],
    own: Collection[Address],
    in_use: InUse,
    is_mapped: IsMapped,
) -> tuple[Claim, ...]:
    """The claims without the ports of `ranges` that the host itself uses at an address of its own.

    A port that has a mapping is not left to the host while the mapping lives: any user of the host can
    bind a port, and would read what is sent to somebody else. Nor is a forwarded port: there the
    operator has spoken.
    """
    left: list[Claim] = []
    for claim in claims:
        protocol, address, (low, high) = claim
        if claim.ports in ranges and address in own:
            for used in sorted(p for kind, p in in_use if kind == protocol and p in claim.ports):
                if is_mapped(protocol, Endpoint(address, used)):
                    continue
                if used > low:
                    left.append(Claim(protocol, address, PortRange(low, used - 1)))
                low = used + 1
        if low <= high:
            left.append(Claim(protocol, address, PortRange(low, high)))
    return tuple(left)


MOST_LASTING = 64
"""Each costs a routing rule or two, and all packets of the host pass all rules."""


class Lasting:
    """Ports of the host's sockets in the ranges that packets are brought from by rules of their own.

    The engine hands over what is sent to any socket of the host's, but at the price of a detour. So those
    that stay get rules, and neither does a resolver, whose sockets live for one answer, change rules all
    the time, nor are there ever very many.
    """

    def __init__(self) -> None:
        self._stayed: InUse = frozenset()
        self.ports: InUse = frozenset()

    def follow(self, stayed: InUse) -> None:
        """What was in use at two looks in turn."""
        self._stayed = stayed

    def choose(self, ranges: Collection[PortRange]) -> None:
        found = {each for each in self._stayed if any(each[1] in ports for ports in ranges)}
        kept = sorted(self.ports & found)
        fresh = sorted(found - self.ports)
        self.ports = frozenset((kept + fresh)[:MOST_LASTING])


class Ranges:
    """The port ranges in which mappings live: the policy's, and former ones until their last mapping ends."""

    def __init__(self) -> None:
        self._former: set[PortRange] = set()
        self._now: set[PortRange] = set()

    def follow(self, policy: Policy, mapped: Callable[[], Iterable[int]]) -> None:
        """`mapped`: the public ports of all mappings. Asked only if the policy's ranges have changed
        and those of before are still waited for."""
        now = set(given_out(policy))
        former = (self._former | self._now) - now
        if former:
            ports = set(mapped())
            former = {each for each in former if any(port in each for port in ports)}
        self._now, self._former = now, former

    @property
    def all(self) -> frozenset[PortRange]:
        return frozenset(self._now | self._former)

    def claims(self, policy: Policy) -> tuple[Claim, ...]:
        """What must still come to the engine although the policy does not say so."""
        return tuple(
            Claim(protocol, address, each)
            for each in sorted(self._former)
            for address in policy.public
            for protocol in (ipv4.TCP, ipv4.UDP)
        )


class Departed:
    """Ports that are published no longer (forwards, triggers), while flows that came in by them live."""

    def __init__(self) -> None:
        self._flows: dict[Claim, set[int]] = {}
        self._before: frozenset[Claim] = frozenset()

    def follow(
        self, claims: Sequence[Claim], ranges: Collection[PortRange], manager: FlowManager
    ) -> None:
        """`claims` are the policy's now. Looks through all flows when some of before are missing."""
        now = frozenset(each for each in claims if each.ports not in ranges)
        flows = manager.table.flows
        for claim in self._before - now:
            self._flows.setdefault(claim, set()).update(_flows_of(claim, manager))
        living = {claim: {id_ for id_ in ids if id_ in flows} for claim, ids in self._flows.items()}
        self._flows = {claim: ids for claim, ids in living.items() if ids and claim not in now}
        self._before = now

    @property
    def claims(self) -> tuple[Claim, ...]:
        return tuple(self._flows)


def _flows_of(claim: Claim, manager: FlowManager) -> Iterable[int]:
    for flow in manager.table.flows.values():
        if flow.protocol == claim.protocol and claim.protocol != ipv4.ICMP:
            public = flow.faces[1]
            if public.address == claim.address and public.port in claim.ports:
                yield flow.id
