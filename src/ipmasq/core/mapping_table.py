"""All mappings, and the pools of their public ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Dictionary
from typing import TypeAlias

from ipmasq.core.active import ActivePolicy
from ipmasq.core.barred import Barred
from ipmasq.core.changes import Changes, Kind
from ipmasq.core.counts import Counts
from ipmasq.core.flow import Half
from ipmasq.core.host import HostPorts
from ipmasq.core.keys import endpoint_key, pack
from ipmasq.core.mapping import Mapping, NarrowMapping, SharedMapping
from ipmasq.core.policy import Behaviour, Policy, Ports
from ipmasq.core.ports import Block, Chance, PortPool, SharedPool
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.unrestored import Unrestored
from ipmasq.wire.addresses import Address, Endpoint

SCATTER = 0x9E3779B97F4A7C15
"""Spreads hosts over the pool of addresses, whichever bits of their addresses differ (multiplicative
hashing)."""

SHARING_TRIES = 128
"""Ports that are tried for a flow that may share one, as many as Linux tries."""

ServerEnd: TypeAlias = tuple[Side, Endpoint]
"""The side and the real endpoint of a flow's server, from which its replies come."""

FindHalf: TypeAlias = Callable[[Side, int, bytes], Half | None]
"""Finds the half of a live flow by side, protocol and key."""


class MappingTable:
    def __init__(
        self, active: ActivePolicy, chance: Chance, find: FindHalf, changes: Changes
    ) -> None:
        self._active = active
        self._changes = changes
        self._chance = chance
        self._find = find
        self.host = HostPorts()
        self.ports: Counts[tuple[int, Address]] = Counts(active.policy.limits.ports_per_host)
        """Number of public ports by protocol and inside host."""
        self.by_inside: dict[bytes, Mapping] = {}
        """Mappings that new flows get, too, by their keys."""
        self._pools: dict[tuple[int, Address], list[PortPool[Mapping]]] = {}
        """Pools by protocol and public address; one for each range that was ever configured."""
        self.numbered: list[PortPool[Mapping]] = []
        """All pools; the number of each is its position."""
        self.unrestored: Unrestored | None = None
        """Mappings of an earlier process that are not restored yet. Their ports are taken, and `ports` counts them."""

    @property
    def policy(self) -> Policy:
        return self._active.policy

    def _key(self, protocol: int, inside: Endpoint, remote: Endpoint) -> bytes:
        """Return the fields on which a mapping depends (RFC 4787, 4.1)."""
        key = endpoint_key(protocol, inside)
        if self.policy.mapping is Behaviour.ENDPOINT_INDEPENDENT:
            return key
        if self.policy.mapping is Behaviour.ADDRESS_DEPENDENT:
            return key + remote.address
        return key + endpoint_key(protocol, remote)

    def of(self, protocol: int, inside: Endpoint, remote: Endpoint) -> Mapping | None:
        """Return the mapping by which an inside endpoint reaches a remote one."""
        return self._current(self._key(protocol, inside, remote))

    def _current(self, key: bytes) -> Mapping | None:
        """Return the mapping that new flows of this key get."""
        mapping = self.by_inside.get(key)
        if mapping is None and self.unrestored is not None and self.unrestored.of(key):
            mapping = self.by_inside.get(key)
        return mapping

    def at(self, protocol: int, public: Endpoint) -> Mapping | None:
        """Return the mapping of a public endpoint."""
        pools = self._pools.get((protocol, public.address), ())
        for pool in pools:
            if mapping := pool.at(public.port):
                return mapping
        if self.unrestored is not None and self.unrestored.at(endpoint_key(protocol, public)):
            return next(filter(None, (pool.at(public.port) for pool in pools)), None)
        return None

    def __iter__(self) -> Iterator[Mapping]:
        if self.unrestored is not None:
            self.unrestored.all()
        pools = [pool for pools in self._pools.values() for pool in pools]
        return iter([mapping for pool in pools for mapping in pool])

    def live(self) -> list[Mapping]:
        """Return all mappings but those that are not restored yet."""
        return [mapping for pool in self.numbered for mapping in pool]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def map(
        self,
        protocol: int,
        inside: Endpoint,
        remote: Endpoint,
        announced_at: Address | None = None,
        known_at: Address | None = None,
        server: ServerEnd | None = None,
    ) -> Mapping | Reason:
        """Return the mapping for this endpoint, which is made if there is none; or why it cannot be made.

        `announced_at`: it is for an expected flow that was announced at this public address. `known_at`: the
        other end knows the inside host by this address. `server`: it is for a flow to this server alone.
        """
        policy = self._active.policy
        if self.is_sharing and server is not None and policy.public:
            return self._share(protocol, known_at or self.public_for(inside.address), server)
        key = self._key(protocol, inside, remote)
        if mapping := self._current(key):
            return mapping
        if not policy.public:
            return Reason.NO_PORTS
        narrow = announced_at is not None
        host = protocol, inside.address
        if self.ports.get(host, 0) >= policy.limits.ports_per_host:
            return Reason.PORT_LIMIT
        address = announced_at or known_at or self.public_for(inside.address)
        ports = policy.data_ports if narrow and policy.data_ports else policy.ports
        pool = self.pool(protocol, address, ports)
        port = pool.take(self._chance, self._barred(protocol, address, remote))
        if port is None:
            return Reason.NO_PORTS
        return self.hold((NarrowMapping if narrow else Mapping)(key, pool, port), host)

    @property
    def is_sharing(self) -> bool:
        """Whether flows to different remote endpoints may have the same public port."""
        return self.policy.mapping is Behaviour.ADDRESS_AND_PORT_DEPENDENT

    def _share(self, protocol: int, address: Address, server: ServerEnd) -> Mapping | Reason:
        """Return a mapping of any port that no flow to the same server uses. If each port that is tried has
        one, a connection that is over is evicted."""
        pool = self._shared_pool(protocol, address)
        if not pool.ports.size:
            return Reason.NO_PORTS
        barred = self._barred(protocol, address, server[1], pool)
        fallback = None
        for _ in range(SHARING_TRIES):
            port = pool.any(self._chance)
            before = self._back(protocol, Endpoint(address, port), server)
            # Whether a port is barred costs a question to the kernel; most are taken when ports are short.
            if before is None and port not in barred:
                break
            if before is not None and before.flow.is_over and port not in barred:
                fallback = port
        else:
            if fallback is None:
                return Reason.NO_PORTS
            port = fallback
        mapping = self._holder(pool, port)
        if mapping is None:
            mapping = SharedMapping(pool, port)
            pool.hold(port, mapping)
            self._changes.mapping(mapping.number)
        return mapping

    def _holder(self, pool: PortPool[Mapping], port: int) -> Mapping | None:
        """Return the mapping that has a port of a pool."""
        mapping = pool.at(port)
        if mapping is None and self.unrestored is not None:
            self.unrestored.at(endpoint_key(pool.protocol, Endpoint(pool.address, port)))
            mapping = pool.at(port)
        return mapping

    def _back(self, protocol: int, public: Endpoint, server: ServerEnd) -> Half | None:
        """Return the half for packets from this server to a public endpoint."""
        side, endpoint = server
        return self._find(side, protocol, pack(endpoint, public))

    def _shared_pool(self, protocol: int, address: Address) -> SharedPool[Mapping]:
        pools = self._pools.setdefault((protocol, address), [])
        for pool in pools:
            if isinstance(pool, SharedPool) and pool.ports == self.policy.ports:
                return pool
        made: SharedPool[Mapping] = SharedPool(
            protocol, address, self.policy.ports, len(self.numbered)
        )
        self.add_pool(made)
        return made

    def _lacks_shared(self, protocol: int, address: Address, server: ServerEnd) -> Reason | None:
        pool = self._shared_pool(protocol, address)
        barred = self._barred(protocol, address, server[1], pool)
        for port in pool.all():
            before = self._back(protocol, Endpoint(address, port), server)
            if (before is None or before.flow.is_over) and port not in barred:
                return None
        return Reason.NO_PORTS

    def lacks_port(
        self,
        protocol: int,
        inside: Endpoint,
        remote: Endpoint,
        known_at: Address | None,
        server: ServerEnd,
    ) -> Reason | None:
        """Return the reason why `map` would make no mapping, or None. It looks through all free ports."""
        if self.is_sharing:
            return self._lacks_shared(protocol, known_at or self.public_for(inside.address), server)
        if self.of(protocol, inside, remote):
            return None
        if self.ports.get((protocol, inside.address), 0) >= self.policy.limits.ports_per_host:
            return Reason.PORT_LIMIT
        address = known_at or self.public_for(inside.address)
        pool = self.pool(protocol, address, self.policy.ports)
        free = pool.has_free(self._barred(protocol, address, remote))
        return None if free else Reason.NO_PORTS

    def _barred(
        self,
        protocol: int,
        address: Address,
        remote: Endpoint,
        sharing: SharedPool[Mapping] | None = None,
    ) -> Barred:
        return Barred(self.policy, self.host, self.at, protocol, address, remote, sharing)

    def usage(self) -> Iterator[PortPool[Mapping]]:
        """Yield the pools from which any port is taken, of those that there are at the beginning."""
        for pools in list(self._pools.values()):
            yield from (pool for pool in pools if pool.used)

    def public_for(self, inside: Address) -> Address:
        """Return the public address of an inside host: all its flows have the same one (RFC 4787 REQ-2:
        paired pooling)."""
        public = self.policy.addresses_for(inside) or self.policy.public
        return public[(int.from_bytes(inside, "big") * SCATTER >> 32) % len(public)]

    def is_paired(self, mapping: Mapping) -> bool:
        """Return whether a mapping is at the address that its inside host has now."""
        if mapping.shared or not self.policy.public:
            return mapping.shared
        return self.public_for(mapping.inside.address) == mapping.pool.address

    def drop_unused(self, mapping: Mapping) -> None:
        if mapping.flows or mapping.expectations:
            return
        mapping.pool.release(mapping.port)
        self._changes.mapping(mapping.number)
        if mapping.shared:
            return
        self.ports.change(mapping.host, -1)
        # After a change of policy the endpoint may have a newer mapping.
        if self.by_inside.get(mapping.key) is mapping:
            del self.by_inside[mapping.key]

    def retire(self, mapping: Mapping) -> None:
        """Keep the mapping for its flows only; new flows get another one."""
        if self.by_inside.get(mapping.key) is mapping:
            self._changes.mapping(mapping.number)
            del self.by_inside[mapping.key]

    def pool(self, protocol: int, address: Address, ports: Ports) -> PortPool[Mapping]:
        """Return a pool, which is made when it is first needed."""
        pools = self._pools.setdefault((protocol, address), [])
        for pool in pools:
            if pool.ports == ports and not isinstance(pool, SharedPool):
                return pool
        made: PortPool[Mapping] = PortPool(protocol, address, ports, len(self.numbered))
        self.add_pool(made)
        return made

    def pools_at(self, protocol: int, address: Address) -> Iterable[PortPool[Mapping]]:
        """Return the pools of a public address."""
        return self._pools.get((protocol, address), ())

    def add_pool(self, pool: PortPool[Mapping]) -> None:
        self._pools.setdefault((pool.protocol, pool.address), []).append(pool)
        self.numbered.append(pool)
        self._changes.other(Kind.POOL, pool.number)

    def map_at(
        self,
        protocol: int,
        inside: Endpoint,
        public: Endpoint,
        remote: Endpoint,
        lent: Block[Mapping] | None = None,
    ) -> Mapping | None:
        """Return the mapping of this public endpoint if it belongs to this inside endpoint or can be made for
        it. `lent`: its port is in this block."""
        before = self.at(protocol, public)
        if before is not None:
            return before if before.shared or before.inside == inside else None
        pools = self._pools.get((protocol, public.address), ())
        if self.is_sharing:
            return self._share_at(pools, public.port)
        key, host = self._key(protocol, inside, remote), (protocol, inside.address)
        full = self.ports.get(host, 0) >= self.policy.limits.ports_per_host
        if self._current(key) is not None or full:
            return None
        if lent is None:
            own = (each for each in pools if not isinstance(each, SharedPool))
            pool = next((each for each in own if each.claim(public.port)), None)
        else:
            pool = lent.pool if lent.pool in pools and lent.claim(public.port) else None
        return None if pool is None else self.hold(Mapping(key, pool, public.port), host)

    def _share_at(self, pools: Iterable[PortPool[Mapping]], port: int) -> Mapping | None:
        pool = next((each for each in pools if isinstance(each, SharedPool)), None)
        if pool is None or port not in pool.ports:
            return None
        mapping = SharedMapping(pool, port)
        pool.hold(port, mapping)
        self._changes.mapping(mapping.number)
        return mapping

    def hold(self, mapping: Mapping, host: tuple[int, Address]) -> Mapping:
        """Enter a mapping whose port is taken. `host`: its protocol and inside address."""
        self.by_inside[mapping.key] = mapping
        mapping.pool.hold(mapping.port, mapping)
        self.ports.change(host, 1)
        if self._changes.is_kept:
            self._changes.mappings.add(mapping.number)
        return mapping

    def lend(self, protocol: int, address: Address, count: int) -> Block[Mapping]:
        """Lend up to `count` ports of a public address, for flows that are opened elsewhere and adopted later
        (see `opening`). Shared ports cannot be lent, since no holder has one alone."""
        pool = self.pool(protocol, address, self.policy.ports)
        none = self.is_sharing or address not in self.policy.public
        barred = self._barred(protocol, address, Endpoint(bytes(len(address)), 0))
        return pool.lend(0 if none else count, self._chance, barred)

    # -- plain values

    def pool_row(self, number: int) -> list[object] | None:
        """Return a pool as plain values; None if there is none of this number."""
        if number >= len(self.numbered):
            return None
        pool = self.numbered[number]
        ranges = [list(each) for each in pool.ports.ranges]
        return [pool.protocol, pool.address, ranges, isinstance(pool, SharedPool)]

    def row(self, number: int) -> tuple[object, ...] | None:
        """Return a mapping as plain values, by its number; None if there is none. The last value says whether
        new flows of its inside endpoint get it, too."""
        pool = number >> 16
        mapping = (
            self._holder(self.numbered[pool], number & 0xFFFF)
            if pool < len(self.numbered)
            else None
        )
        if mapping is None:
            return None
        key = mapping.key
        return key, mapping.narrow, self.by_inside.get(key) is mapping

    def check(self, flows: Dictionary[int, int]) -> None:
        """Raise AssertionError unless every index and count agrees with `flows`, the number of flows by the
        identity of their mapping."""
        ports: dict[tuple[int, Address], int] = {}
        if self.unrestored is not None:
            ports = {host: count for host, count in self.unrestored.ports.items() if count}
            for number, taken in self.unrestored.taken.items():
                assert not taken or self.numbered[number].has_none_free(taken)
        for mapping in self.live():
            assert mapping.flows == flows.get(id(mapping), 0)
            assert mapping.flows or mapping.expectations
            if mapping.shared:
                continue
            ports[mapping.host] = ports.get(mapping.host, 0) + 1
        assert ports == self.ports
        self.ports.check()
        for mapping in self.by_inside.values():
            assert self.at(mapping.protocol, mapping.public) is mapping
