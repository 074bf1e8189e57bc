"""Metrics of what can run short: public ports, and the limits of inside hosts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from heapq import nlargest
from typing import TypeVar

from ipmasq.core.engine import Engine
from ipmasq.core.mapping import Mapping
from ipmasq.core.policy import Policy
from ipmasq.core.ports import PortPool
from ipmasq.core.shortage import is_near, name
from ipmasq.metrics.made import Labels, gauge
from ipmasq.metrics.source import Steps
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, to_text

T = TypeVar("T")

MOST_ADDRESSES = 64
"""Public addresses that have samples of their own: those with the most ports in use."""

AT_ONCE = 256
"""Pools or hosts that are looked at before packets have their turn: about 0.1 ms."""

Pools = dict[tuple[Address, int], list[PortPool[Mapping]]]


def families(engine: Engine) -> Steps:
    yield from _ports(engine)
    yield from _hosts(engine)


def _ports(engine: Engine) -> Steps:
    policy, pools = engine.policy, defaultdict[tuple[Address, int], list[PortPool[Mapping]]](list)
    for number, pool in enumerate(engine.table.mappings.usage(), 1):
        pools[pool.address, pool.protocol].append(pool)
        if number % AT_ONCE == 0:
            yield None
    used: dict[Labels, float] = {}
    free: dict[Labels, float] = {}
    sharing = engine.table.mappings.is_sharing
    for address in _shown(policy, pools):
        for protocol in (ipv4.ICMP, ipv4.TCP, ipv4.UDP):
            labels = to_text(address), name(protocol).lower()
            held = pools.get((address, protocol), [])
            used[labels] = sum(pool.used for pool in held)
            free[labels] = _free(policy, held, sharing)
    labels_of = ["address", "protocol"]
    yield gauge("public_ports_used", "Public ports that are in use.", used, labels_of)
    yield gauge("public_ports_free", "Public ports that are free.", free, labels_of)
    yield gauge(
        "public_addresses", "Public addresses, with and without samples.", len(policy.public)
    )


def _shown(policy: Policy, pools: Pools) -> Iterable[Address]:
    if len(policy.public) <= MOST_ADDRESSES:
        return policy.public
    used = Counter(dict.fromkeys(policy.public[:MOST_ADDRESSES], 0))
    for (address, _), held in pools.items():
        used[address] += sum(pool.used for pool in held)
    return sorted(nlargest(MOST_ADDRESSES, used, key=used.__getitem__))


def _free(policy: Policy, held: list[PortPool[Mapping]], sharing: bool) -> int:
    """Return the free ports of one address and protocol. A pool exists from its first port on; pools of
    ranges that are no longer configured give no more ports."""
    if sharing and held:
        return sum(map(len, held))
    ranges = {policy.ports, policy.data_ports or policy.ports}
    by_range = {pool.ports: len(pool) for pool in held}
    return sum(by_range.get(ports, ports.size) for ports in ranges)


def _hosts(engine: Engine) -> Steps:
    table = engine.table
    yield gauge("hosts", "Inside hosts with live flows.", len(table.hosts))
    near: Counter[Labels] = Counter({("flows_per_host", ""): 0})
    near.update({("ports_per_host", protocol): 0 for protocol in ("icmp", "tcp", "udp")})
    limits = engine.policy.limits
    for some in _by_steps(list(table.hosts.values())):
        near["flows_per_host", ""] += sum(is_near(used, limits.flows_per_host) for used in some)
        yield None
    for held in _by_steps(list(table.mappings.ports.items())):
        for (protocol, _), used in held:
            labels = "ports_per_host", name(protocol).lower()
            near[labels] += is_near(used, limits.ports_per_host)
        yield None
    text = "Inside hosts that use four fifths of a limit or more."
    yield gauge("hosts_near_limit", text, near, ["limit", "protocol"])


def _by_steps(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]
