"""Rows of plain flows and of mappings (see `compact`), with what an engine must know of all of them before it serves: their
keys, and what they count to.

The index follows rows as they come and go, so that a member of a group that takes over need not look at each. A row may
contradict others for a while, since records of one moment come one after the other. So contradictions are found by
counts, and only at last (`confirm`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ipmasq.core.changes import Kind, Record
from ipmasq.core.compact import (
    BACK,
    HAS_MAPPING,
    IS_CURRENT,
    OUT,
    Compact,
    unpack_flow,
    unpack_mapping,
)
from ipmasq.core.plain import StateError
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Address

KEYS = slice(BACK.start, OUT.stop)


class Pool(NamedTuple):
    """What is known of a pool of public ports."""

    protocol: int
    address: Address
    is_shared: bool


class Indexed:
    def __init__(self) -> None:
        self.compact = Compact()
        self.pools: dict[int, Pool] = {}
        """By their numbers."""
        self.by_key: dict[bytes, int] = {}
        """Flows by their two keys, with protocol and side before them."""
        self.by_public: dict[bytes, int | dict[int, None]] = {}
        """The flow or the flows that have a mapping, by its public endpoint (see `endpoint_key`)."""
        self.mapped: dict[bytes, int] = {}
        """Mappings by their public endpoints."""
        self.unused: set[bytes] = set()
        """Public endpoints of mappings that no flow has."""
        self._unmapped: set[bytes] = set()
        """Public endpoints of flows whose mapping is not there."""
        self.publics: dict[bytes, bytes] = {}
        """Public endpoints of those mappings that new flows get, too, by the keys of the mappings."""
        self.hosts: Counter[Address] = Counter()
        """Flows by inside host."""
        self.ports: Counter[tuple[int, Address]] = Counter()
        """Mappings by protocol and inside host, without shared ones."""
        self.taken: dict[int, set[int]] = {}
        """Ports of mappings, by the number of their pool."""
        self._currents = 0
        """How many mappings there should be in `publics`."""
        self._problem = ""
        """Why a row cannot be used, if one could not."""

    @classmethod
    def of(cls, compact: Compact, pools: dict[int, Pool]) -> Indexed:
        """Return an index of rows whose values are checked (`Compact.check_rows`)."""
        made = cls()
        made.pools = dict(pools)
        made.add_mappings(compact.mappings)
        made.add_flows(compact.flows, compact.moments)
        return made

    def confirm(self, pools: dict[int, Pool]) -> Indexed:
        """Return an index of these rows for the pools that there are: this one, unless rows have contradicted each other
        meanwhile, or the pools are others. Raises StateError if they still do."""
        if not self._objection() and all(
            pools.get(each) == self.pools[each] for each in self.taken
        ):
            return self
        made = Indexed.of(self.compact, pools)
        if objection := made._objection():
            raise StateError(objection)
        return made

    def _objection(self) -> str:
        """Return how rows contradict each other; empty if they do not."""
        if self._problem:
            return self._problem
        if len(self.mapped) != len(self.compact.mappings):
            return "state: two mappings have the same public port"
        if len(self.publics) != self._currents:
            return "state: two mappings of the same endpoint are current"
        if len(self.by_key) != 2 * len(self.compact.flows):
            return "state: two flows have the same addresses and ports"
        if self._unmapped:
            return "state: a flow has a mapping of which there is no record"
        return ""

    def records(self) -> Iterator[tuple[Record, float | None]]:
        """Yield the rows as records, each with the moment when it was written; None for a mapping, which has no age."""
        for number, row in self.compact.mappings.items():
            yield Record(Kind.MAPPING, number, unpack_mapping(row)), None
        for number, row in self.compact.flows.items():
            yield Record(Kind.FLOW, number, unpack_flow(row)), self.compact.moments[number]

    def unused_numbers(self) -> list[int]:
        """Return the numbers of mappings that no flow has."""
        return [self.mapped[public] for public in self.unused]

    def __len__(self) -> int:
        return len(self.compact.flows) + len(self.compact.mappings)

    # -- rows that come and go

    def add_pool(self, number: int, row: Any) -> None:
        """Note what a pool's record says. That it is no pool, or another one now, is found by `confirm`."""
        match row:
            case [int(protocol), bytes(address), _, bool(is_shared)] if 0 <= protocol < 256:
                self.pools.setdefault(number, Pool(protocol, address, is_shared))

    def add_flows(self, rows: dict[int, bytes], moments: dict[int, float]) -> None:
        """Add flows, or let newer rows take the place of theirs."""
        flows, by_key, by_public = self.compact.flows, self.by_key, self.by_public
        new = rows
        if known := flows.keys() & rows.keys():
            for number in known:
                if not _is_indexed_alike(flows[number], rows[number]):
                    self.drop_flow(number)
            new = {number: row for number, row in rows.items() if number not in flows}
        inside, hosts, unused = int(Side.INSIDE), [], self.unused
        for number, row in new.items():
            by_key[row[BACK]] = by_key[row[OUT]] = number
            hosts.append(row[6:10] if row[1] == inside else row[20:24])
            if row[29] & HAS_MAPPING:
                public = public_of(row)
                if public in by_public:
                    self._add_another(public, number)
                    continue
                by_public[public] = number
                if public in unused:
                    unused.remove(public)
                else:
                    self._unmapped.add(public)
        self.hosts.update(hosts)
        flows.update(rows)
        self.compact.moments.update(moments)

    def _add_another(self, public: bytes, number: int) -> None:
        """Note one more flow of a mapping that has some."""
        known = self.by_public[public]
        if isinstance(known, int):
            self.by_public[public] = {known: None, number: None}
        else:
            known[number] = None

    def drop_flow(self, number: int) -> None:
        """Forget a flow, if there is one of this number."""
        row = self.compact.flows.pop(number, None)
        if row is None:
            return
        self.compact.moments.pop(number, None)
        for key in (row[BACK], row[OUT]):
            if self.by_key.get(key) == number:
                del self.by_key[key]
        _decrease(self.hosts, row[6:10] if row[1] == int(Side.INSIDE) else row[20:24])
        if row[29] & HAS_MAPPING:
            public = public_of(row)
            known = self.by_public[public]
            if isinstance(known, dict):
                del known[number]
            if known == number or not known:
                del self.by_public[public]
                (self.unused.add if public in self.mapped else self._unmapped.discard)(public)

    def add_mappings(self, rows: dict[int, bytes]) -> None:
        """Add mappings, or let newer rows take the place of theirs."""
        mappings, mapped, publics = self.compact.mappings, self.mapped, self.publics
        for number in mappings.keys() & rows.keys():
            if mappings[number] != rows[number]:
                self.drop_mapping(number)
        hosts = []
        for number, row in rows.items():
            if number in mappings:
                continue
            mappings[number] = row
            pool, port = self.pools.get(number >> 16), number & 0xFFFF
            if pool is None:
                self._problem = f"mapping {number}: is of no pool"
                continue
            protocol, address, is_shared = pool
            public = bytes((protocol, port >> 8, port & 0xFF)) + address
            mapped[public] = number
            if public in self.by_public:
                self._unmapped.discard(public)
            else:
                self.unused.add(public)
            self.taken.setdefault(number >> 16, set()).add(port)
            if is_shared:
                continue
            key = row[2 : 2 + row[0]]
            hosts.append((protocol, key[3 : 3 + len(address)]))
            if len(key) < 3 + len(address) or key[0] != protocol:
                self._problem = f"mapping {number}: is not of its pool"
            if row[1] & IS_CURRENT:
                self._currents += 1
                publics[key] = public
        self.ports.update(hosts)

    def drop_mapping(self, number: int) -> None:
        """Forget a mapping, if there is one of this number."""
        row, pool = self.compact.mappings.pop(number, None), self.pools.get(number >> 16)
        if row is None or pool is None:
            return
        port, key = number & 0xFFFF, row[2 : 2 + row[0]]
        public = bytes((pool.protocol, port >> 8, port & 0xFF)) + pool.address
        if self.mapped.get(public) == number:
            del self.mapped[public]
            self.unused.discard(public)
            if public in self.by_public:
                self._unmapped.add(public)
        self.taken.get(number >> 16, set()).discard(port)
        if pool.is_shared:
            return
        _decrease(self.ports, (pool.protocol, key[3 : 3 + len(pool.address)]))
        if row[1] & IS_CURRENT:
            self._currents -= 1
            if self.publics.get(key) == public:
                del self.publics[key]

    def drop(self, kind: int, numbers: Iterable[int]) -> None:
        """Forget flows or mappings, as far as they are here."""
        drop = self.drop_flow if kind == Kind.FLOW else self.drop_mapping
        for number in numbers:
            drop(number)


def public_of(row: bytes) -> bytes:
    """Return the public endpoint of the mapping of a flow; see `endpoint_key`."""
    return row[:1] + row[24:26] + row[16:20]


def _is_indexed_alike(one: bytes, other: bytes) -> bool:
    return one[KEYS] == other[KEYS] and (one[29] ^ other[29]) & HAS_MAPPING == 0


def _decrease(counts: Counter[Any], key: object) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
