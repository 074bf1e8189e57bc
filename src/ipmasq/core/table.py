"""All flows and mappings, with their indexes. Everything that is counted can be recounted (`check`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from typing import TypeAlias

from ipmasq.core.flow import Flow, Half, Mapping, NarrowMapping, SharedMapping, endpoint_key, pack
from ipmasq.core.host import HostHolds, nothing
from ipmasq.core.policy import Behaviour, Policy, Ports
from ipmasq.core.ports import Chance, PortPool, SharedPool
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Address, Endpoint

SCATTER = 0x9E3779B97F4A7C15
"""Spreads hosts over the pool, whichever bits of their addresses differ (multiplicative hashing)."""


MOST_ASKED = 32
"""Ports of the host's own that are passed over to find one for a flow. Any user of the host can take nearly all:
what is sent to a mapping is the mapping's even so."""

SHARING_TRIES = 128
"""Ports that are looked at for a flow that may share one, as many as Linux does."""

Where: TypeAlias = tuple[Side, Endpoint]
"""Where the server of a flow really is: from there come its packets back."""


class Table:
    def __init__(self, policy: Policy, chance: Chance) -> None:
        self.policy = policy
        self.reserved: frozenset[tuple[int, int]] = frozenset()
        """`(protocol, port)` that are left to the host, so that no packet to them comes to the engine."""
        self.host_holds: HostHolds = nothing
        self.flows: dict[int, Flow] = {}
        none: dict[bytes, Half] = {}
        self.halves: tuple[list[dict[bytes, Half]], list[dict[bytes, Half]]] = (
            [none] * 256,
            [none] * 256,
        )
        """By side where a packet comes in, then by protocol, then by key."""
        for protocol in (1, 6, 17):
            for side in self.halves:
                side[protocol] = {}
        self.hosts: dict[Address, int] = {}
        """Flows per inside host, without those that are `over`."""
        self.over: dict[int, Flow] = {}
        """Connections that are over, in the order in which they were found to be: late packets find them, but
        they count to nobody, and give way when the table is full."""
        self.ports: dict[tuple[int, Address], int] = {}
        """Public ports by protocol and inside host."""
        self._chance = chance
        self._by_inside: dict[bytes, Mapping] = {}
        self._pools: dict[tuple[int, Address], list[PortPool[Mapping]]] = {}
        """By protocol and public address; one for each range that was ever configured."""

    # -- flows

    def find(self, side: Side, protocol: int, key: bytes) -> Half | None:
        return self.halves[side][protocol].get(key)

    def add(self, flow: Flow) -> bool:
        """Enter a flow. False, and nothing is changed, if a direction would take a live flow's place, or
        the other direction's (a host that sends to its own public endpoint)."""
        sides, protocol = flow.sides, flow.protocol
        out, back = self.halves[sides[0]][protocol], self.halves[sides[1]][protocol]
        out_key, back_key = flow.original.match, flow.reply.match
        if out_key in out or back_key in back or (out is back and out_key == back_key):
            return False
        self.flows[flow.id] = flow
        out[out_key], back[back_key] = flow.original, flow.reply
        host = flow.host
        self.hosts[host] = self.hosts.get(host, 0) + 1
        if flow.mapping:
            flow.mapping.add_flow(flow.reply)
        if flow.server_mapping:
            flow.server_mapping.add_flow(flow.original)
        return True

    def remove(self, flow: Flow) -> None:
        """Forget it, and its mappings if nothing else uses them."""
        del self.flows[flow.id]
        for half in (flow.original, flow.reply):
            del self.halves[half.side][flow.protocol][half.match]
        if not self.over.pop(flow.id, None):
            self._count(flow.host, -1)
        self.free_ports(flow)
        flow.let_go()

    def finish(self, flow: Flow) -> None:
        """A connection is over."""
        if flow.id not in self.over:
            self.over[flow.id] = flow
            self._count(flow.host, -1)
        self.free_ports(flow)

    def revive(self, flow: Flow) -> bool:
        """A connection that was reset goes on all the same (RFC 7857, 2.2), and counts again. False if it may
        not: its host has all the flows or ports that it may have, or its public port has another holder now."""
        if self.lacks_room(flow.host) is not None:
            return False
        client = flow.client
        if client.is_masqueraded:
            mapping = self._take_back(
                flow.protocol, client.real, client.translated, flow.server.translated
            )
            if mapping is None:
                return False
            flow.mapping = mapping
            mapping.add_flow(flow.reply)
        del self.over[flow.id]
        self._count(flow.host, 1)
        return True

    def _take_back(
        self, protocol: int, inside: Endpoint, public: Endpoint, remote: Endpoint
    ) -> Mapping | None:
        """The mapping of a public endpoint, if it is this inside endpoint's, or can be again."""
        before = self.mapping_at(protocol, public)
        if before is not None:
            return before if before.shared or before.inside == inside else None
        pools = self._pools.get((protocol, public.address), ())
        if self.is_sharing:
            shared = next((each for each in pools if isinstance(each, SharedPool)), None)
            if shared is None or public.port not in shared.ports:
                return None
            mapping: Mapping = SharedMapping(shared, public.port)
            shared.hold(public.port, mapping)
            return mapping
        key, host = self._key(protocol, inside, remote), (protocol, inside.address)
        count = self.ports.get(host, 0)
        if key in self._by_inside or count >= self.policy.limits.ports_per_host:
            return None
        for pool in pools:
            if pool.claim(public.port):
                mapping = self._by_inside[key] = Mapping(key, pool, public.port)
                pool.hold(public.port, mapping)
                self.ports[host] = count + 1
                return mapping
        return None

    def oldest_over(self) -> Flow | None:
        """The connection that is over for longest. One that lives again (RFC 7857, 2.2: data after a reset)
        is counted again."""
        while self.over:
            flow = next(iter(self.over.values()))
            if flow.is_over:
                return flow
            del self.over[flow.id]
            self._count(flow.host, 1)
        return None

    def _count(self, host: Address, more: int) -> None:
        count = self.hosts.get(host, 0) + more
        if count:
            self.hosts[host] = count
        else:
            del self.hosts[host]

    def free_ports(self, flow: Flow) -> None:
        """A flow is over: its public ports are free for other mappings, unless live flows use them. What
        comes late still finds it by its own five-tuple, which no other flow gets while there is another to be
        had (RFC 6888, REQ-8; RFC 7857, 2)."""
        client, server = flow.mapping, flow.server_mapping
        flow.mapping = flow.server_mapping = None
        if client is not None:
            client.drop_flow(flow.reply)
            self.drop_unused(client)
        if server is not None:
            server.drop_flow(flow.original)
            self.drop_unused(server)

    def check(self) -> None:
        """Raise AssertionError unless every index, count and reference agrees with the flows."""
        hosts: dict[Address, int] = {}
        flows: dict[int, int] = {}
        linked = Counter(id(flow.master) for flow in self.flows.values())
        for flow in self.flows.values():
            assert flow.original.flow is flow is flow.reply.flow
            for half in (flow.original, flow.reply):
                assert self.halves[half.side][flow.protocol][half.match] is half
            if flow.id in self.over:
                assert self.over[flow.id] is flow
            else:
                hosts[flow.host] = hosts.get(flow.host, 0) + 1
            for mapping, half in ((flow.mapping, flow.reply), (flow.server_mapping, flow.original)):
                if mapping:
                    flows[id(mapping)] = flows.get(id(mapping), 0) + 1
                    assert mapping.shared or mapping.has_peer(half.remote)
                    assert self.mapping_at(flow.protocol, mapping.public) is mapping
            assert flow.links <= linked[id(flow)]
        assert hosts == self.hosts
        assert self.over.keys() <= self.flows.keys()
        halves = {id(table): len(table) for side in self.halves for table in side}
        assert sum(halves.values()) == 2 * len(self.flows)
        ports: dict[tuple[int, Address], int] = {}
        for mapping in self.mappings():
            assert mapping.flows == flows.get(id(mapping), 0)
            assert mapping.flows or mapping.expectations
            if mapping.shared:
                continue
            host = mapping.protocol, mapping.inside.address
            ports[host] = ports.get(host, 0) + 1
        assert ports == self.ports
        for mapping in self._by_inside.values():
            assert self.mapping_at(mapping.protocol, mapping.public) is mapping

    def lacks_room(self, host: Address) -> Reason | None:
        """Why an inside host cannot have one flow more, if so."""
        limits = self.policy.limits
        if len(self.flows) >= limits.flows:
            return Reason.TABLE_FULL
        return Reason.HOST_LIMIT if self.hosts.get(host, 0) >= limits.flows_per_host else None

    # -- mappings

    def _key(self, protocol: int, inside: Endpoint, remote: Endpoint) -> bytes:
        """What a mapping depends on (RFC 4787, 4.1)."""
        key = endpoint_key(protocol, inside)
        if self.policy.mapping is Behaviour.ENDPOINT_INDEPENDENT:
            return key
        if self.policy.mapping is Behaviour.ADDRESS_DEPENDENT:
            return key + remote.address
        return key + endpoint_key(protocol, remote)

    def mapping_of(self, protocol: int, inside: Endpoint, remote: Endpoint) -> Mapping | None:
        """By which mapping an inside endpoint reaches a remote one."""
        return self._by_inside.get(self._key(protocol, inside, remote))

    def mapping_at(self, protocol: int, public: Endpoint) -> Mapping | None:
        for pool in self._pools.get((protocol, public.address), ()):
            if mapping := pool.at(public.port):
                return mapping
        return None

    def mappings(self) -> list[Mapping]:
        return [mapping for pools in self._pools.values() for pool in pools for mapping in pool]

    def map(
        self,
        protocol: int,
        inside: Endpoint,
        remote: Endpoint,
        announced_at: Address | None = None,
        known_at: Address | None = None,
        server: Where | None = None,
    ) -> Mapping | Reason:
        """The mapping for this endpoint, made if there is none; or why it cannot be made.

        `announced_at`: it is for a flow that an announcement promised at this public address. `known_at`: the
        other end knows the inside host by this one. `server`: it is for a flow to there alone.
        """
        if self.is_sharing and server is not None and self.policy.public:
            return self._share(protocol, known_at or self.public_for(inside.address), server)
        key = self._key(protocol, inside, remote)
        if mapping := self._by_inside.get(key):
            return mapping
        if not self.policy.public:
            return Reason.NO_PORTS
        narrow = announced_at is not None
        host = protocol, inside.address
        if self.ports.get(host, 0) >= self.policy.limits.ports_per_host:
            return Reason.PORT_LIMIT
        address = announced_at or known_at or self.public_for(inside.address)
        ports = self.policy.data_ports if narrow and self.policy.data_ports else self.policy.ports
        pool = self.pool(protocol, address, ports)
        port = pool.take(self._chance, _Barred(self, protocol, address, remote))
        if port is None:
            return Reason.NO_PORTS
        kind = NarrowMapping if narrow else Mapping
        mapping = self._by_inside[key] = kind(key, pool, port)
        pool.hold(port, mapping)
        self.ports[host] = self.ports.get(host, 0) + 1
        return mapping

    @property
    def is_sharing(self) -> bool:
        """Whether flows to different remote endpoints may have the same public port."""
        return self.policy.mapping is Behaviour.ADDRESS_AND_PORT_DEPENDENT

    def _share(self, protocol: int, address: Address, server: Where) -> Mapping | Reason:
        """Any port by which no flow goes to the same server. If each of those that are tried has one, a
        connection that is over gives way."""
        pool = self._shared_pool(protocol, address)
        if not pool.ports.size:
            return Reason.NO_PORTS
        barred = _Barred(self, protocol, address, server[1], pool)
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
        mapping = pool.at(port)
        if mapping is None:
            mapping = SharedMapping(pool, port)
            pool.hold(port, mapping)
        return mapping

    def _back(self, protocol: int, public: Endpoint, server: Where) -> Half | None:
        """The flow by which packets from there to a public endpoint go."""
        side, endpoint = server
        return self.halves[side][protocol].get(pack(endpoint, public))

    def _shared_pool(self, protocol: int, address: Address) -> SharedPool[Mapping]:
        pools = self._pools.setdefault((protocol, address), [])
        for pool in pools:
            if isinstance(pool, SharedPool) and pool.ports == self.policy.ports:
                return pool
        made: SharedPool[Mapping] = SharedPool(protocol, address, self.policy.ports)
        pools.append(made)
        return made

    def _lacks_shared(self, protocol: int, address: Address, server: Where) -> Reason | None:
        pool = self._shared_pool(protocol, address)
        barred = _Barred(self, protocol, address, server[1], pool)
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
        server: Where,
    ) -> Reason | None:
        """What `map` would answer instead of a mapping. It looks through all ports that are free."""
        if self.is_sharing:
            return self._lacks_shared(protocol, known_at or self.public_for(inside.address), server)
        if self.mapping_of(protocol, inside, remote):
            return None
        if self.ports.get((protocol, inside.address), 0) >= self.policy.limits.ports_per_host:
            return Reason.PORT_LIMIT
        address = known_at or self.public_for(inside.address)
        pool = self.pool(protocol, address, self.policy.ports)
        free = pool.has_free(_Barred(self, protocol, address, remote))
        return None if free else Reason.NO_PORTS

    def usage(self) -> list[PortPool[Mapping]]:
        """The ports of each protocol and public address from which any is taken now."""
        return [pool for pools in self._pools.values() for pool in pools if pool.used]

    def public_for(self, inside: Address) -> Address:
        """All flows of one host leave by one address (RFC 4787 REQ-2: paired pooling)."""
        public = self.policy.public
        return public[(int.from_bytes(inside, "big") * SCATTER >> 32) % len(public)]

    def drop_unused(self, mapping: Mapping) -> None:
        if mapping.flows or mapping.expectations:
            return
        mapping.pool.give(mapping.port)
        if mapping.shared:
            return
        host = mapping.protocol, mapping.inside.address
        self.ports[host] -= 1
        if not self.ports[host]:
            del self.ports[host]
        # After a change of policy the endpoint may have got a newer mapping.
        if self._by_inside.get(mapping.key) is mapping:
            del self._by_inside[mapping.key]

    def retire(self, mapping: Mapping) -> None:
        """Its flows may go on; new ones get another mapping."""
        if self._by_inside.get(mapping.key) is mapping:
            del self._by_inside[mapping.key]

    def pool(self, protocol: int, address: Address, ports: Ports) -> PortPool[Mapping]:
        """Made when it is first needed."""
        pools = self._pools.setdefault((protocol, address), [])
        for pool in pools:
            if pool.ports == ports and not isinstance(pool, SharedPool):
                return pool
        pools.append(PortPool(protocol, address, ports))
        return pools[-1]


class _Barred(Container[int]):
    """Ports that must not be given out though the pool has them: a socket of the host is there, they are
    forwarded, a trigger opens them, or a mapping of an earlier policy or of an overlapping range holds them."""

    def __init__(
        self,
        table: Table,
        protocol: int,
        address: Address,
        remote: Endpoint,
        sharing: SharedPool[Mapping] | None = None,
    ) -> None:
        """`remote`: where the flow goes that needs the port. A socket that is connected to somebody else
        is in nobody's way. `sharing`: mappings of this pool are not either."""
        self._table, self._protocol, self._address = table, protocol, address
        self._remote, self._sharing = remote, sharing
        self._asked = 0

    def __contains__(self, port: object) -> bool:
        assert isinstance(port, int)
        table, protocol = self._table, self._protocol
        return (
            (protocol, port) in table.reserved
            or self._is_held(port)
            or any(
                forward.protocol == protocol
                and forward.public in (None, self._address)
                and port in forward.ports
                for forward in table.policy.forwards
            )
            or any(
                trigger.opens_protocol == protocol and port in trigger.opens_ports
                for trigger in table.policy.triggers
            )
            or (self._address in table.policy.own and self._is_the_hosts(port))
        )

    def _is_the_hosts(self, port: int) -> bool:
        """Whether the host has a socket there. Who has one on nearly every port is not asked about all of
        them for each flow: any user of the host can open that many."""
        if self._asked >= MOST_ASKED:
            return False
        held = self._table.host_holds(self._protocol, self._remote, Endpoint(self._address, port))
        self._asked += held > 0
        return held > 0

    def _is_held(self, port: int) -> bool:
        mapping = self._table.mapping_at(self._protocol, Endpoint(self._address, port))
        return mapping is not None and mapping.pool is not self._sharing
