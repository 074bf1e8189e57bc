"""All flows, with their indexes. Every count can be verified (`check`)."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator

from ipmasq.core.active import ActivePolicy
from ipmasq.core.changes import Changes
from ipmasq.core.counts import Counts
from ipmasq.core.ends import End
from ipmasq.core.flow import Flow, Half
from ipmasq.core.keys import exchanged
from ipmasq.core.mapping import Mapping
from ipmasq.core.mapping_table import MappingTable
from ipmasq.core.numbers import Numbers
from ipmasq.core.plain import Fields
from ipmasq.core.policy import Policy
from ipmasq.core.ports import Chance
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.unrestored import Unrestored
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address

PROTOCOLS = ipv4.ICMP, ipv4.TCP, ipv4.UDP
"""The protocols that can be masqueraded."""


class Table:
    def __init__(
        self, active: ActivePolicy, chance: Chance, changes: Changes | None = None
    ) -> None:
        self._active = active
        self._changes = changes or Changes()
        self.mappings = MappingTable(active, chance, self.find, self._changes)
        self.flows: dict[int, Flow] = {}
        none: dict[bytes, Half] = {}
        self.halves: tuple[list[dict[bytes, Half]], list[dict[bytes, Half]]] = (
            [none] * 256,
            [none] * 256,
        )
        """By the side where a packet comes in, then by protocol, then by key."""
        for protocol in PROTOCOLS:
            for side in self.halves:
                side[protocol] = {}
        self.hosts: Counts[Address] = Counts(active.policy.limits.flows_per_host)
        """Number of flows per inside host, without those that are `over`."""
        # Not a dict, which takes long to find its first item after many were removed from its beginning.
        self.over: OrderedDict[int, Flow] = OrderedDict()
        """Connections that are over, in the order in which that was found. Late packets find them, but they
        do not count to a host, and are evicted when the table is full."""
        self.ranks: dict[int, int] = {}
        """The places in that order, by flow."""
        self._numbers = Numbers()
        self.finished = 0
        """The last place."""
        self.unrestored: Unrestored | None = None
        """Flows of an earlier process that are not restored yet. `hosts` counts them."""

    @property
    def policy(self) -> Policy:
        return self._active.policy

    # -- flows

    def find(self, side: Side, protocol: int, key: bytes) -> Half | None:
        halves = self.halves[side][protocol]
        half = halves.get(key)
        if half is None and self.unrestored is not None:
            self.unrestored.find(side, protocol, key)
            half = halves.get(key)
        return half

    def flow(self, number: int) -> Flow | None:
        """Return a flow by its number."""
        if self.unrestored is not None and number not in self.flows:
            self.unrestored.restore(number)
        return self.flows.get(number)

    def host_of(self, number: int) -> Address | None:
        """Return the inside host of a flow, by the flow's number."""
        found = self.flow(number)
        return found.host if found is not None else None

    def __contains__(self, number: int) -> bool:
        """Return whether a flow of this number is alive."""
        waits = self.unrestored is not None and number in self.unrestored
        return waits or number in self.flows

    @property
    def count(self) -> int:
        """The number of flows."""
        return len(self.flows) + (0 if self.unrestored is None else len(self.unrestored))

    def numbers(self) -> list[int]:
        """Return the numbers of all flows, in their order."""
        return sorted((*self.flows, *(() if self.unrestored is None else self.unrestored.numbers)))

    def walk(self, newest: int) -> Iterator[int]:
        """Yield in their order the numbers of all flows up to the `newest` one, and of some that have ended. It takes
        little to begin."""
        return self._numbers.walk(self.numbers, self.count, newest)

    def all(self) -> list[Flow]:
        """Return all flows, in the order of their numbers."""
        self.restore_all()
        return [self.flows[number] for number in sorted(self.flows)]

    def restore_all(self) -> None:
        """Restore all flows at once that are not restored yet."""
        if self.unrestored is not None:
            self.unrestored.all()

    def add(self, flow: Flow) -> bool:
        """Enter a flow. Return False, and change nothing, if one direction has the key of a live flow, or of
        the other direction (a host that sends to its own public endpoint)."""
        sides, protocol = flow.sides, flow.protocol
        if self.unrestored is not None:
            for half in (flow.original, flow.reply):
                self.find(half.side, protocol, half.match)
        out, back = self.halves[sides[0]][protocol], self.halves[sides[1]][protocol]
        out_key, back_key = flow.original.match, flow.reply.match
        if out_key in out or back_key in back or (out is back and out_key == back_key):
            return False
        out[out_key], back[back_key] = flow.original, flow.reply
        self._enter(flow)
        self.hosts.change(flow.host, 1)
        return True

    def _enter(self, flow: Flow) -> None:
        self.flows[flow.id] = flow
        if flow.mapping:
            flow.mapping.add_flow(flow.reply.rewrite)
        if flow.server_mapping:
            flow.server_mapping.add_flow(flow.original.rewrite)

    def remove(self, flow: Flow) -> None:
        """Remove a flow, and its mappings if nothing else uses them."""
        del self.flows[flow.id]
        for half in (flow.original, flow.reply):
            del self.halves[half.side][flow.protocol][half.match]
        if not self._leaves_over(flow):
            self.hosts.change(flow.host, -1)
        self.free_ports(flow)
        self._changes.flow(flow.id)
        flow.break_cycle()

    def finish(self, flow: Flow) -> None:
        """Mark a connection as over."""
        if flow.id not in self.over:
            self.finished += 1
            self._is_over(flow, self.finished)
        self.free_ports(flow)

    def _is_over(self, flow: Flow, rank: int) -> None:
        self.over[flow.id] = flow
        self.ranks[flow.id] = rank
        self.hosts.change(flow.host, -1)

    def _leaves_over(self, flow: Flow) -> bool:
        self.ranks.pop(flow.id, None)
        return self.over.pop(flow.id, None) is not None

    def revive(self, flow: Flow) -> bool:
        """Count a connection again that continues after a reset (RFC 7857, 2.2). Return False if it may not
        continue: its host has reached a limit, or its public port has another holder now."""
        if self.lacks_room(flow.host) is not None:
            return False
        client = flow.client
        if client.is_masqueraded:
            mapping = self.mappings.map_at(
                flow.protocol, client.real, client.translated, flow.server.translated
            )
            if mapping is None:
                return False
            flow.mapping = mapping
            mapping.add_flow(flow.reply.rewrite)
        self._leaves_over(flow)
        self.hosts.change(flow.host, 1)
        return True

    def oldest_over(self) -> Flow | None:
        """Return the connection that has been over for longest. One that is live again (RFC 7857, 2.2: data
        after a reset) is counted again."""
        while self.over:
            flow = next(iter(self.over.values()))
            if flow.is_over:
                return flow
            self._leaves_over(flow)
            self._changes.flow(flow.id)
            self.hosts.change(flow.host, 1)
        return None

    def free_ports(self, flow: Flow) -> None:
        """Free the public ports of a flow that is over, unless live flows use them. Late packets still find
        the flow by its five-tuple, which no other flow gets while another one is available (RFC 6888, REQ-8;
        RFC 7857, 2)."""
        client, server = flow.mapping, flow.server_mapping
        flow.mapping = flow.server_mapping = None
        if client is not None:
            client.drop_flow(flow.reply.rewrite)
            self.mappings.drop_unused(client)
        if server is not None:
            server.drop_flow(flow.original.rewrite)
            self.mappings.drop_unused(server)

    # -- plain values

    def restore(self, number: int, state: Fields, moment: float) -> Flow:
        """Enter the flow of a state, without its inspector; flows are restored in the order of their numbers.
        Raises StateError."""
        flow = Flow.from_state(number, state, moment)
        flow.mapping = self._held(state, "has_mapping", flow.protocol, flow.client)
        flow.server_mapping = self._held(state, "has_server_mapping", flow.protocol, flow.server)
        if flow.protocol not in PROTOCOLS or flow.id in self.flows or not self.add(flow):
            raise state.error("out", f"flow {number} has an address of another one")
        return flow

    def restore_plain(self, flow: Flow) -> None:
        """Enter a flow that was not restored until now, and is counted already."""
        (protocol, (client, server), _), original, reply = flow.kind, flow.original, flow.reply
        self.halves[client][protocol][exchanged(reply.rewrite)] = original
        self.halves[server][protocol][exchanged(original.rewrite)] = reply
        self._enter(flow)

    def restore_over(self, ranks: dict[int, int]) -> None:
        """Mark the flows of a state that are over, with their places. Raises StateError."""
        for number, rank in sorted(ranks.items(), key=lambda each: each[1]):
            self.finished = max(self.finished, rank)
            self._is_over(self.flows[number], rank)

    def link_all(self, flows: Iterable[Flow]) -> None:
        """Count the data flows of each control flow among these, when all are restored."""
        for flow in flows:
            master = None if flow.master is None else self.flow(flow.master)
            if master is not None:
                master.links += 1

    def _held(self, state: Fields, key: str, protocol: int, end: End) -> Mapping | None:
        """Return the mapping of an end's translated endpoint, if its flow holds it."""
        if not state.boolean(key):
            return None
        mapping = self.mappings.at(protocol, end.translated)
        if mapping is None:
            raise state.error(key, f"{end.translated} has no mapping")
        return mapping

    def check(self) -> None:
        """Raise AssertionError unless every index, count and reference agrees with the flows."""
        hosts: dict[Address, int] = {}
        if self.unrestored is not None:
            hosts = {host: count for host, count in self.unrestored.hosts.items() if count}
            assert not any(number in self.unrestored for number in self.flows)
        flows: dict[int, int] = {}
        linked = Counter(flow.master for flow in self.flows.values())
        for flow in self.flows.values():
            assert flow.original.flow is flow is flow.reply.flow
            for half in (flow.original, flow.reply):
                assert self.halves[half.side][flow.protocol][half.match] is half
            if flow.id in self.over:
                assert self.over[flow.id] is flow
            else:
                hosts[flow.host] = hosts.get(flow.host, 0) + 1
            for mapping, end, half in (
                (flow.mapping, flow.client, flow.reply),
                (flow.server_mapping, flow.server, flow.original),
            ):
                if mapping:
                    flows[id(mapping)] = flows.get(id(mapping), 0) + 1
                    assert mapping.shared or mapping.has_peer(half.remote)
                    assert self.mappings.at(flow.protocol, end.translated) is mapping
            assert flow.links == linked[flow.id]
        assert hosts == self.hosts
        self.hosts.check()
        assert self.over.keys() <= self.flows.keys()
        assert self.over.keys() == self.ranks.keys()
        halves = {id(table): len(table) for side in self.halves for table in side}
        assert sum(halves.values()) == 2 * len(self.flows)
        self.mappings.check(flows)

    def lacks_room(self, host: Address) -> Reason | None:
        """Return why an inside host cannot have one more flow, or None."""
        limits = self.policy.limits
        if self.count >= limits.flows:
            return Reason.TABLE_FULL
        return Reason.HOST_LIMIT if self.hosts.get(host, 0) >= limits.flows_per_host else None
