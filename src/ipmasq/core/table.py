"""All flows and mappings, with their indexes. Everything that is counted can be recounted (`check`)."""

from __future__ import annotations

from collections.abc import Container

from ipmasq.core.flow import Flow, Half, Mapping, NarrowMapping, endpoint_key
from ipmasq.core.host import HostHolds, nothing
from ipmasq.core.policy import Behaviour, Policy, Ports
from ipmasq.core.ports import Chance, PortPool
from ipmasq.core.side import Side
from ipmasq.core.why import Why
from ipmasq.wire.addresses import Address, Endpoint

SCATTER = 0x9E3779B97F4A7C15
"""Spreads hosts over the pool, whichever bits of their addresses differ (multiplicative hashing)."""


class Table:
    def __init__(self, policy: Policy, chance: Chance) -> None:
        self.policy = policy
        self.reserved: frozenset[tuple[int, int]] = frozenset()
        """`(protocol, port)` that the host itself listens on."""
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
        """Flows per inside host."""
        self.ports: dict[tuple[int, Address], int] = {}
        """Public ports by protocol and inside host."""
        self._chance = chance
        self._by_inside: dict[bytes, Mapping] = {}
        self._pools: dict[tuple[int, Address], list[PortPool[Mapping]]] = {}
        """By protocol and public address; one for each range that was ever configured."""

    # -- flows

    def find(self, side: Side, protocol: int, key: bytes) -> Half | None:
        return self.halves[side][protocol].get(key)

    def is_new(self, flow: Flow) -> bool:
        """Whether neither direction would take a live flow's place, nor each other's (a host that
        sends to its own public endpoint)."""
        return (flow.forth.side, flow.forth.key) != (flow.back.side, flow.back.key) and not any(
            half.key in self.halves[half.side][flow.protocol] for half in (flow.forth, flow.back)
        )

    def add(self, flow: Flow) -> None:
        self.flows[flow.id] = flow
        for half in (flow.forth, flow.back):
            self.halves[half.side][flow.protocol][half.key] = half
        self.hosts[flow.host] = self.hosts.get(flow.host, 0) + 1
        if flow.mapping:
            flow.mapping.add_flow(flow.back)
        if flow.server_mapping:
            flow.server_mapping.add_flow(flow.forth)

    def remove(self, flow: Flow) -> None:
        """Forget it, and its mappings if nothing else uses them."""
        del self.flows[flow.id]
        for half in (flow.forth, flow.back):
            del self.halves[half.side][flow.protocol][half.key]
        host = flow.host
        self.hosts[host] -= 1
        if not self.hosts[host]:
            del self.hosts[host]
        self.free_ports(flow)
        flow.let_go()

    def free_ports(self, flow: Flow) -> None:
        """A flow is over: its public ports are free for other mappings, unless live flows use them. What
        comes late still finds it by its own five-tuple, which no other flow gets while there is another to be
        had (RFC 6888, REQ-8; RFC 7857, 2)."""
        client, server = flow.mapping, flow.server_mapping
        flow.mapping = flow.server_mapping = None
        if client is not None:
            client.drop_flow(flow.back)
            self.drop_unused(client)
        if server is not None:
            server.drop_flow(flow.forth)
            self.drop_unused(server)

    def check(self) -> None:
        """Raise AssertionError unless every index, count and reference agrees with the flows."""
        hosts: dict[Address, int] = {}
        flows: dict[int, int] = {}
        for flow in self.flows.values():
            assert flow.forth.flow is flow is flow.back.flow
            for half in (flow.forth, flow.back):
                assert self.halves[half.side][flow.protocol][half.key] is half
            hosts[flow.host] = hosts.get(flow.host, 0) + 1
            for mapping, half in ((flow.mapping, flow.back), (flow.server_mapping, flow.forth)):
                if mapping:
                    flows[id(mapping)] = flows.get(id(mapping), 0) + 1
                    assert mapping.has_peer(half.remote)
                    assert self.mapping_at(flow.protocol, mapping.public) is mapping
            linked = sum(other.master is flow for other in self.flows.values())
            assert flow.links <= linked
        assert hosts == self.hosts
        halves = {id(table): len(table) for side in self.halves for table in side}
        assert sum(halves.values()) == 2 * len(self.flows)
        ports: dict[tuple[int, Address], int] = {}
        for mapping in self.mappings():
            assert mapping.flows == flows.get(id(mapping), 0)
            assert mapping.flows or mapping.promises
            host = mapping.protocol, mapping.inside.address
            ports[host] = ports.get(host, 0) + 1
        assert ports == self.ports
        for mapping in self._by_inside.values():
            assert self.mapping_at(mapping.protocol, mapping.public) is mapping

    def lacks_room(self, host: Address) -> Why | None:
        """Why an inside host cannot have one flow more, if so."""
        limits = self.policy.limits
        if len(self.flows) >= limits.flows:
            return Why.TABLE_FULL
        return Why.HOST_LIMIT if self.hosts.get(host, 0) >= limits.flows_per_host else None

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
        promised_at: Address | None = None,
        known_at: Address | None = None,
    ) -> Mapping | Why:
        """The mapping for this endpoint, made if there is none; or why it cannot be made.

        `promised_at`: it is for a flow that an announcement promised at this public address. `known_at`: the
        other end knows the inside host by this one.
        """
        key = self._key(protocol, inside, remote)
        if mapping := self._by_inside.get(key):
            return mapping
        if not self.policy.public:
            return Why.NO_PORTS
        narrow = promised_at is not None
        host = protocol, inside.address
        if self.ports.get(host, 0) >= self.policy.limits.ports_per_host:
            return Why.PORT_LIMIT
        address = promised_at or known_at or self.public_for(inside.address)
        ports = self.policy.data_ports if narrow and self.policy.data_ports else self.policy.ports
        pool = self.pool(protocol, address, ports)
        port = pool.take(self._chance, _Barred(self, protocol, address, remote))
        if port is None:
            return Why.NO_PORTS
        kind = NarrowMapping if narrow else Mapping
        mapping = self._by_inside[key] = kind(key, pool, port)
        pool.hold(port, mapping)
        self.ports[host] = self.ports.get(host, 0) + 1
        return mapping

    def lacks_port(
        self, protocol: int, inside: Endpoint, remote: Endpoint, known_at: Address | None
    ) -> Why | None:
        """What `map` would answer instead of a mapping. It looks through all ports that are free."""
        if self.mapping_of(protocol, inside, remote):
            return None
        if self.ports.get((protocol, inside.address), 0) >= self.policy.limits.ports_per_host:
            return Why.PORT_LIMIT
        address = known_at or self.public_for(inside.address)
        pool = self.pool(protocol, address, self.policy.ports)
        free = pool.has_free(_Barred(self, protocol, address, remote))
        return None if free else Why.NO_PORTS

    def usage(self) -> list[PortPool[Mapping]]:
        """The ports of each protocol and public address from which any is taken now."""
        return [pool for pools in self._pools.values() for pool in pools if pool.used]

    def public_for(self, inside: Address) -> Address:
        """All flows of one host leave by one address (RFC 4787 REQ-2: paired pooling)."""
        public = self.policy.public
        return public[(int.from_bytes(inside, "big") * SCATTER >> 32) % len(public)]

    def drop_unused(self, mapping: Mapping) -> None:
        if mapping.flows or mapping.promises:
            return
        mapping.pool.give(mapping.port)
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
            if pool.ports == ports:
                return pool
        pools.append(PortPool(protocol, address, ports))
        return pools[-1]


class _Barred(Container[int]):
    """Ports that must not be given out though the pool has them: a socket of the host is there, they are
    forwarded, a trigger opens them, or a mapping of an earlier policy or of an overlapping range holds them."""

    def __init__(self, table: Table, protocol: int, address: Address, remote: Endpoint) -> None:
        """`remote`: where the flow goes that needs the port. A socket that is connected to somebody else
        is in nobody's way."""
        self._table, self._protocol, self._address = table, protocol, address
        self._remote = remote

    def __contains__(self, port: object) -> bool:
        assert isinstance(port, int)
        table, protocol = self._table, self._protocol
        return (
            (protocol, port) in table.reserved
            or table.mapping_at(protocol, Endpoint(self._address, port)) is not None
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
            or (
                self._address in table.policy.own
                and table.host_holds(protocol, self._remote, Endpoint(self._address, port)) > 0
            )
        )
