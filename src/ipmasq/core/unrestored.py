"""Plain flows of a state that are not restored yet.

Restoring a flow takes tens of microseconds, so a gateway with a million flows would pause for most of a minute before the
first packet. Plain flows therefore wait in this object, and each is restored when something asks for it, or in the
background. Nobody else can tell the difference: their public ports are taken, hosts and limits count them, whoever
looks for a flow or a mapping finds it (`Table.find`, `MappingTable.at`), and none is overdue.

A mapping is restored together with all its flows, so a mapping that is live has all the flows that it ever had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, KeysView
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

from ipmasq.core.compact import (
    FLOW,
    HAS_FLAG,
    HAS_MAPPING,
    HAS_MARKS,
    IS_OFFLOADABLE,
    KEY,
    MAPPING,
    PLAIN,
)
from ipmasq.core.flow import Flow, kind_of
from ipmasq.core.indexed import Indexed, host_of, public_of
from ipmasq.core.indexed_mappings import Pool
from ipmasq.core.keys import endpoint_key, exchanged
from ipmasq.core.mapping import Mapping
from ipmasq.core.offloading import Marks
from ipmasq.core.origin import Kind as OriginKind
from ipmasq.core.origin import Origin, origin
from ipmasq.core.plain import StateError
from ipmasq.core.policy import Ports
from ipmasq.core.ports import PortPool, SharedPool
from ipmasq.core.side import Side
from ipmasq.core.timers import Bucket, Timers


class Waiting(NamedTuple):
    """A mapping that is not restored yet."""

    number: int
    key: bytes
    bits: int
    """See `compact.MAPPING`."""


Enter = Callable[[Flow, float, float, Marks | None], object]
"""Makes a flow live, as it was at a moment; then follow how many seconds later it was due, and its marks."""

EnterMapping = Callable[[Waiting], Mapping]
"""Makes a mapping live, and returns it."""


AHEAD = 2
"""Seconds for which flows are restored before one of them is due."""


class Unrestored:
    due: Bucket[Any] | None = None
    """See `set_timer`."""

    def __init__(self, indexed: Indexed, pools: list[PortPool[Mapping]]) -> None:
        """`indexed` belongs to this object then. `pools`: all of the state. Raises StateError if rows contradict
        each other."""
        self._index = index = indexed.confirm({pool.number: pool_of(pool) for pool in pools})
        self._rows = index.flows
        for number, taken in index.mappings.taken.items():
            _enter_ports(pools[number], taken)
        mappings = self._mappings = index.mappings
        self.hosts, self.ports, self.taken = index.hosts, mappings.ports, mappings.taken
        """Flows by inside host; mappings, without shared ones, by protocol and inside host; and their ports, by the number
        of their pool."""
        self.last = self._rows.last()
        self._order: Iterator[int] | None = None
        self._fresh: list[int] = []
        self._enter: Enter | None = None
        self._enter_mapping: EnterMapping | None = None
        self._earliest: dict[int, float] = {}

    def begin(self, enter: Enter, enter_mapping: EnterMapping, earliest: dict[int, float]) -> None:
        """Set what makes flows and mappings live; before, none can be restored. `earliest`: no flow of a protocol is due
        before this moment."""
        self._enter, self._enter_mapping, self._earliest = enter, enter_mapping, dict(earliest)

    def set_timer(self, timers: Timers[Any]) -> None:
        """Have flows restored before one of them is due: this timer's bucket comes before theirs."""
        if self._earliest:
            timers.set(self, min(self._earliest.values()) - AHEAD)

    def go_on_after(self, earlier: Unrestored) -> None:
        """Take the place of an object whose flows are all restored."""
        self._fresh = earlier.fresh()

    def meets(self, flow: Flow) -> bool:
        """Return whether one of these flows has a key of a flow that is live."""
        halves, protocol = (flow.original, flow.reply), flow.protocol
        keys = (bytes((protocol, half.side)) + exchanged(half.match) for half in halves)
        return any(self._index.find(key) is not None for key in keys)

    def restore_due(self, now: float, timers: Timers[Any]) -> None:
        """Restore the flows of those protocols of which one may be due soon."""
        late = {each for each, moment in self._earliest.items() if moment - AHEAD <= now}
        for number in [number for number, row, _ in self._rows.each() if row[0] in late]:
            self.restore(number)
        for each in late:
            del self._earliest[each]
        self.set_timer(timers)

    def __len__(self) -> int:
        """The number of flows."""
        return len(self._rows)

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    def __bool__(self) -> bool:
        return bool(self._rows or self._mappings)

    @property
    def numbers(self) -> Iterator[int]:
        return iter(self._rows)

    # -- what there is

    def rows(self, count: int) -> Iterator[bytes]:
        """Yield the rows of flows, so many at a time, without those that are restored meanwhile."""
        return self._rows.some(count)

    def earliest(self) -> dict[int, float]:
        """Return when the first of the flows of each protocol is due, as their rows say, on the engine's clock."""
        found: dict[int, float] = {}
        for _, row, moment in self._rows.each():
            found[row[0]] = min(found.get(row[0], inf), moment + FLOW.unpack(row)[13])
        return found

    @property
    def protocols(self) -> set[int]:
        return self._rows.protocols()

    @property
    def keys(self) -> KeysView[bytes]:
        """The keys of those mappings that new flows get, too."""
        return self._mappings.currents.keys()

    def has(self, mapping: Mapping) -> bool:
        """Return whether one of these mappings has the port of another one."""
        return endpoint_key(mapping.pool.protocol, mapping.public) in self._mappings.rows

    # -- restoring

    def find(self, side: Side, protocol: int, key: bytes) -> bool:
        """Restore the flow whose packets come in on this side with this key. Return whether there is one."""
        if len(key) != KEY:
            return False
        number = self._index.find(bytes((protocol, side)) + exchanged(key))
        return number is not None and self.restore(number)

    def restore(self, number: int) -> bool:
        """Restore a flow by its number, with all that have the same mapping. Return whether there is one."""
        row = self._rows.get(number)
        if row is None:
            return False
        if row[29] & HAS_MAPPING:
            return self.at(public_of(row))
        self._restore(number, None)
        return True

    def at(self, public: bytes) -> bool:
        """Restore the mapping at a public endpoint (see `endpoint_key`), and its flows. Return whether there is one."""
        if self._enter_mapping is None or (taken := self._mappings.take(public)) is None:
            return False
        number, row = taken
        length, bits, key = MAPPING.unpack(row)
        mapping = self._enter_mapping(Waiting(number, key[:length], bits))
        if not mapping.shared:
            self.ports[mapping.host] -= 1
        for flow in self._index.take_users(public):
            self._restore(flow, mapping)
        return True

    def of(self, key: bytes) -> bool:
        """Restore the mapping that new flows of this key get. Return whether there is one."""
        number = self._mappings.currents.get(key)
        return number is not None and self.at(self._mappings.public(number))

    def some(self, count: int) -> bool:
        """Restore about so many flows. Return whether there are more."""
        until = len(self._rows) - count
        if self._order is None:
            self._order = iter(sorted(self._rows))
        while len(self._rows) > until:
            number = next(self._order, None)
            if number is None:
                break
            self.restore(number)
        return bool(self._rows)

    def all(self) -> None:
        """Restore everything."""
        while self.some(len(self._rows)):
            pass
        for public in list(self._mappings.rows):
            self.at(public)

    def unused(self) -> list[bytes]:
        """Return the public endpoints of mappings that no flow has."""
        return list(self._index.unused())

    def fresh(self) -> list[int]:
        """Return the numbers of the flows that were restored since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def _restore(self, number: int, mapping: Mapping | None) -> None:
        assert self._enter is not None
        taken = self._index.take_flow(number)
        assert taken is not None
        row, moment = taken
        flow, due, marks = flow_of(number, row, moment)
        flow.mapping = mapping
        self.hosts[host_of(row)] -= 1
        self._fresh.append(number)
        self._enter(flow, moment, due, marks)


def pool_of(pool: PortPool[Mapping]) -> Pool:
    return Pool(pool.protocol, pool.address, isinstance(pool, SharedPool))


def _enter_ports(pool: PortPool[Mapping], taken: set[int]) -> None:
    """Count the ports of shared mappings as used. Raises StateError if one is not of the pool."""
    if foreign := _foreign(pool.ports, taken):
        raise StateError(f"mapping {pool.number << 16 | min(foreign)}: is not of its pool")
    if isinstance(pool, SharedPool):
        pool.await_holders(len(taken))


def _foreign(own: Ports, ports: set[int]) -> set[int]:
    """Return which ports are not of these. A pool has many, and mostly others are few."""
    return ports & _others(own)


@lru_cache(maxsize=16)
def _others(own: Ports) -> frozenset[int]:
    """Return all ports but these."""
    every = range(1 << 16)
    return frozenset(every).difference(*(every[low : high + 1] for low, high in own.ranges))


_SIDES = [(Side(both >> 1), Side(both & 1)) for both in range(4)]
"""The sides of client and server, by both as one number."""


@lru_cache(maxsize=1024)
def _origin(kind: int, name: bytes, flag: int) -> Origin:
    return origin(OriginKind(kind), name.decode(), bool(flag))


def flow_of(number: int, row: bytes, now: float) -> tuple[Flow, float, Marks | None]:
    """Return the flow of a row that was checked, without its mapping, not in the table yet; in how many seconds it was due;
    and its marks. `now` is when the row was written."""
    (protocol, client, back, _, server, out, reach, bits, kind, length, name, opened, last_seen, due,
     out_packets, out_bytes, out_position, back_packets, back_bytes, back_position,
     *marks) = FLOW.unpack(row)  # fmt: skip
    sides = _SIDES[client << 1 | server]
    flow = Flow.of_keys(number, kind_of(protocol, sides, reach), out, back, now - opened)
    original, reply = flow.original, flow.reply
    original.packets, original.bytes, original.position = out_packets, out_bytes, out_position
    reply.packets, reply.bytes, reply.position = back_packets, back_bytes, back_position
    flow.last_seen, flow.state = now - last_seen, PLAIN[protocol]
    flow.offloadable = bool(bits & IS_OFFLOADABLE)
    flow.origin = _origin(kind, name[:length], bits & HAS_FLAG)
    return flow, due, (marks[0], marks[1]) if bits & HAS_MARKS else None
