"""Decides which packets to the host's own addresses a plane brings to the engine.

The engine states the claims of its policy. In addition, packets of live flows and mappings keep coming to the
engine, whatever the policy says now and whichever process has bound a port; and the ports that the host
itself uses are left to the host.
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
"""Whether a public endpoint, of this protocol, has a mapping."""


def without_host_ports(
    claims: Sequence[Claim],
    ranges: Collection[PortRange],
    own: Collection[Address],
    in_use: InUse,
    is_mapped: IsMapped,
) -> tuple[Claim, ...]:
    """Return the claims without the ports of `ranges` that the host itself uses at an address of its own.

    A port with a mapping is not left to the host while the mapping lives: any user of the host can bind a
    port, and would receive packets of others. Neither is a forwarded port, which the operator has assigned.
    """
    left: list[Claim] = []
    for claim in claims:
        protocol, address, (low, high) = claim
        if claim.ports not in ranges or address not in own:
            left.append(claim)
            continue
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
"""The most ports with routing rules of their own. Each costs a rule or two, and all packets of the host pass
all rules."""


class LastingSockets:
    """Ports of the host's long-lived sockets that lie within the claimed ranges.

    The engine returns packets for any socket of the host, but that is a detour. So lasting sockets get rules
    of their own. A resolver, whose sockets live for one answer, does not change rules all the time, and the
    number of rules is limited.
    """

    def __init__(self) -> None:
        self._stayed: InUse = frozenset()
        self.ports: InUse = frozenset()

    def follow(self, stayed: InUse) -> None:
        """Record the ports that were in use at two successive looks."""
        self._stayed = stayed

    def choose(self, ranges: Collection[PortRange]) -> None:
        found = {each for each in self._stayed if any(each[1] in ports for ports in ranges)}
        kept = sorted(self.ports & found)
        fresh = sorted(found - self.ports)
        self.ports = frozenset((kept + fresh)[:MOST_LASTING])


class Ranges:
    """The port ranges that have mappings: the policy's, and former ones until their last mapping ends."""

    def __init__(self) -> None:
        self._former: set[PortRange] = set()
        self._now: set[PortRange] = set()

    def follow(self, policy: Policy, mapped: Callable[[], Iterable[int]]) -> None:
        """Follow a policy. `mapped` returns the public ports of all mappings. It is called only if the
        policy's ranges have changed and former ones still have mappings."""
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
        """Return the claims for former ranges."""
        return tuple(
            Claim(protocol, address, each)
            for each in sorted(self._former)
            for address in (*policy.public, *policy.elsewhere)
            for protocol in (ipv4.TCP, ipv4.UDP)
        )


class UnpublishedPorts:
    """Ports that are no longer published (forwards, triggers), while flows that came in by them live."""

    def __init__(self) -> None:
        self._flows: dict[Claim, set[int]] = {}
        self._before: frozenset[Claim] = frozenset()

    def follow(
        self, claims: Sequence[Claim], ranges: Collection[PortRange], manager: FlowManager
    ) -> None:
        """Follow the policy's `claims`. This looks through all flows if some former claims are missing."""
        now = frozenset(each for each in claims if each.ports not in ranges)
        flows = manager.table
        for claim in self._before - now:
            self._flows.setdefault(claim, set()).update(_flows_of(claim, manager))
        living = {claim: {id_ for id_ in ids if id_ in flows} for claim, ids in self._flows.items()}
        self._flows = {claim: ids for claim, ids in living.items() if ids and claim not in now}
        self._before = now

    @property
    def claims(self) -> tuple[Claim, ...]:
        return tuple(self._flows)


def _flows_of(claim: Claim, manager: FlowManager) -> Iterable[int]:
    for flow in manager.table.all():
        if flow.protocol == claim.protocol and claim.protocol != ipv4.ICMP:
            public = flow.endpoints.public
            if public.address == claim.address and public.port in claim.ports:
                yield flow.id
