"""Rows of plain flows and of mappings (see `compact`), with what an engine must know of all of them before it serves: their
keys, and what they count to.

The index follows rows as they come and go, so that a member of a group that takes over need not look at each. A row may
contradict others for a while, since records of one moment come one after the other. So contradictions are found by
counts, and only at last (`confirm`).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import filterfalse, repeat
from typing import Any, NamedTuple

from ipmasq.core.changes import Kind, Record
from ipmasq.core.compact import (
    BACK,
    BITS,
    FLOW,
    HAS_MAPPING,
    IS_CURRENT,
    MAPPING,
    OUT,
    Compact,
    unpack_flow,
    unpack_mapping,
)
from ipmasq.core.plain import StateError
from ipmasq.core.rows import Rows, woven
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
        """Flows by the key of what leaves for the client, with protocol and side before it; those without a mapping by that of
        what leaves for the server, too."""
        self.by_public: dict[bytes, int | dict[bytes, int]] = {}
        """The flow that has a mapping, by its public endpoint (see `endpoint_key`); if there are several, by their keys of
        what leaves for the server."""
        self.mapped: dict[bytes, int] = {}
        """Mappings by their public endpoints."""
        self._unmapped: set[bytes] = set()
        """Public endpoints of flows whose mapping is not there."""
        self.currents: dict[bytes, int] = {}
        """Those mappings that new flows get, too, by their keys."""
        self.hosts: Counter[Address] = Counter()
        """Flows by inside host."""
        self.ports: Counter[tuple[int, Address]] = Counter()
        """Mappings by protocol and inside host, without shared ones."""
        self.taken: dict[int, set[int]] = {}
        """Ports of mappings, by the number of their pool."""
        self._currents = self._keys = self._missing = 0
        """How many mappings should be in `currents`, how many keys in `by_key`, and how many flows are missing in
        `by_public`."""
        self._problem = ""
        """Why a row cannot be used, if one could not."""

    @classmethod
    def of(cls, compact: Compact, pools: dict[int, Pool]) -> Indexed:
        """Return an index of rows whose values are checked (`Compact.check_rows`)."""
        made = cls()
        made.pools = dict(pools)
        made.add_mappings(Rows.of(compact.mappings, MAPPING.size))
        made.add_flows(Rows.of(compact.flows, FLOW.size), compact.moments)
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
        if len(self.currents) != self._currents:
            return "state: two mappings of the same endpoint are current"
        if len(self.by_key) != self._keys or self._missing:
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

    def unused(self) -> Set[bytes]:
        """Return the public endpoints of mappings that no flow has."""
        if len(self.mapped) == len(self.by_public):
            return set()
        return self.mapped.keys() - self.by_public.keys()

    def unused_numbers(self) -> list[int]:
        """Return the numbers of those mappings."""
        return [self.mapped[public] for public in self.unused()]

    def public(self, number: int) -> bytes:
        """Return the public endpoint of a mapping; see `endpoint_key`."""
        return _publics(self.pools[number >> 16], [number & 0xFFFF])[0]

    def find(self, key: bytes) -> int | None:
        """Return the number of the flow that has a key, with protocol and side before it."""
        number = self.by_key.get(key)
        if number is not None:
            return number
        known = self.by_public.get(key[:1] + key[10:12] + key[2:6], {})
        if isinstance(known, dict):
            return known.get(key)
        return known if self.compact.flows[known][OUT] == key else None

    def __len__(self) -> int:
        return len(self.compact.flows) + len(self.compact.mappings)

    # -- rows that come and go

    def add_pool(self, number: int, row: Any) -> None:
        """Note what a pool's record says. That it is no pool, or another one now, is found by `confirm`."""
        match row:
            case [int(protocol), bytes(address), _, bool(is_shared)] if 0 <= protocol < 256:
                self.pools.setdefault(number, Pool(protocol, address, is_shared))

    def add_flows(self, rows: Rows, moments: dict[int, float]) -> None:
        """Add flows, or let newer rows take the place of theirs."""
        flows, numbers, cut, new = self.compact.flows, rows.numbers, rows.each(), rows
        if not flows.keys().isdisjoint(numbers):
            for number, row in zip(numbers, cut, strict=True):
                if number in flows and not _is_indexed_alike(flows[number], row):
                    self.drop_flow(number)
            new = rows.only([number not in flows for number in numbers])
        flows.update(zip(numbers, cut, strict=True))
        self.compact.moments.update(moments)
        self._enter_flows(new)

    def _enter_flows(self, rows: Rows) -> None:
        have_mapping = rows.column(BITS).translate(_HAVE_MAPPING)
        mapped = rows.only(have_mapping)
        self._enter_keys(BACK, rows)
        self.hosts.update(_hosts(rows))
        if mapped is not rows:
            self._enter_keys(OUT, rows.only([not each for each in have_mapping]))
        publics = mapped.gathered(PUBLIC)
        known = tuple(map(self.by_public.setdefault, publics, mapped.numbers))
        if known != mapped.numbers:
            for public, number in zip(publics, mapped.numbers, strict=True):
                if self.by_public[public] != number:
                    self._add_another(public, number)
        self._unmapped.update(filterfalse(self.mapped.__contains__, publics))

    def _enter_keys(self, key: slice, rows: Rows) -> None:
        keys = rows.slices(key.start, key.stop - key.start)
        self._keys += len(keys)
        self.by_key.update(zip(keys, rows.numbers, strict=True))

    def _add_another(self, public: bytes, number: int) -> None:
        """Note one more flow of a mapping that has some."""
        known, flows = self.by_public[public], self.compact.flows
        if isinstance(known, int):
            self.by_public[public] = known = {flows[known][OUT]: known}
        out = flows[number][OUT]
        self._missing += out in known
        known[out] = number

    def drop_flow(self, number: int) -> None:
        """Forget a flow, if there is one of this number."""
        row = self.compact.flows.pop(number, None)
        if row is None:
            return
        self.compact.moments.pop(number, None)
        _decrease(self.hosts, row[6:10] if row[1] == int(Side.INSIDE) else row[20:24])
        has_mapping = row[BITS] & HAS_MAPPING
        for key in (BACK,) if has_mapping else (BACK, OUT):
            self._keys -= 1
            if self.by_key.get(row[key]) == number:
                del self.by_key[row[key]]
        if has_mapping:
            self._drop_user(public_of(row), row[OUT], number)

    def _drop_user(self, public: bytes, out: bytes, number: int) -> None:
        """Forget that a flow has a mapping."""
        known = self.by_public.get(public)
        if isinstance(known, dict) and known.get(out) == number:
            del known[out]
            if known:
                return
        elif known != number:
            self._missing -= 1
            return
        del self.by_public[public]
        self._unmapped.discard(public)

    def add_mappings(self, rows: Rows) -> None:
        """Add mappings, or let newer rows take the place of theirs."""
        mappings, numbers, cut, new = self.compact.mappings, rows.numbers, rows.each(), rows
        if not mappings.keys().isdisjoint(numbers):
            for number, row in zip(numbers, cut, strict=True):
                if number in mappings and mappings[number] != row:
                    self.drop_mapping(number)
            new = rows.only([number not in mappings for number in numbers])
        mappings.update(zip(numbers, cut, strict=True))
        numbers = new.numbers
        if numbers and min(numbers) >> 16 == max(numbers) >> 16:
            self._enter_mappings(numbers[0] >> 16, new)
            return
        for pool, those in new.grouped([number >> 16 for number in numbers]):
            self._enter_mappings(pool, those)

    def _enter_mappings(self, number: int, rows: Rows) -> None:
        """Enter mappings of one pool."""
        pool = self.pools.get(number)
        if pool is None:
            self._problem = f"mapping {rows.numbers[0]}: is of no pool"
            return
        ports = tuple(map((0xFFFF).__and__, rows.numbers))
        publics = _publics(pool, ports)
        self.mapped.update(zip(publics, rows.numbers, strict=True))
        if self._unmapped:
            self._unmapped.difference_update(publics)
        self.taken.setdefault(number, set()).update(ports)
        if pool.is_shared:
            return
        for length, those in rows.grouped(rows.column(0)):
            self._enter_insides(pool, length, those)

    def _enter_insides(self, pool: Pool, length: int, rows: Rows) -> None:
        """Enter the keys of mappings of one pool, which have all the same length."""
        protocol, size = pool.protocol, len(pool.address)
        if length < 3 + size or rows.column(2).strip(bytes((protocol,))):
            self._problem = f"mapping {rows.numbers[0]}: is not of its pool"
            return
        self.ports.update(zip(repeat(protocol), rows.slices(5, size)))
        current = rows.only(rows.column(1).translate(_ARE_CURRENT))
        self._currents += len(current.numbers)
        self.currents.update(zip(current.slices(2, length), current.numbers, strict=True))

    def drop_mapping(self, number: int) -> None:
        """Forget a mapping, if there is one of this number."""
        row, pool = self.compact.mappings.pop(number, None), self.pools.get(number >> 16)
        if row is None or pool is None:
            return
        key, public = row[2 : 2 + row[0]], self.public(number)
        if self.mapped.get(public) == number:
            del self.mapped[public]
            if public in self.by_public:
                self._unmapped.add(public)
        self.taken.get(number >> 16, set()).discard(number & 0xFFFF)
        if pool.is_shared:
            return
        _decrease(self.ports, (pool.protocol, key[3 : 3 + len(pool.address)]))
        if row[1] & IS_CURRENT:
            self._currents -= 1
            if self.currents.get(key) == number:
                del self.currents[key]

    def drop(self, kind: int, numbers: Iterable[int]) -> None:
        """Forget flows or mappings, as far as they are here."""
        drop = self.drop_flow if kind == Kind.FLOW else self.drop_mapping
        for number in numbers:
            drop(number)


PUBLIC = 0, 24, 25, 16, 17, 18, 19
"""Where the row of a flow has the public endpoint of its mapping; see `endpoint_key`."""


def public_of(row: bytes) -> bytes:
    """Return the public endpoint of the mapping of a flow."""
    return row[:1] + row[24:26] + row[16:20]


def _publics(pool: Pool, ports: Sequence[int]) -> tuple[bytes, ...]:
    """Return the public endpoints of ports of a pool."""
    count, packed = len(ports), struct.pack(f">{len(ports)}H", *ports)
    address = [bytes((each,)) * count for each in pool.address]
    return woven([bytes((pool.protocol,)) * count, packed[::2], packed[1::2], *address])


def _hosts(rows: Rows) -> Sequence[bytes]:
    """Return the inside hosts of flows."""
    clients, inside = rows.column(1), rows.slices(6, 4)
    if not clients.strip(bytes((Side.INSIDE,))):
        return inside
    those = zip(clients, inside, rows.slices(20, 4), strict=True)
    return [host if client == Side.INSIDE else other for client, host, other in those]


def _with(bit: int) -> bytes:
    """Return a table for `bytes.translate`, which makes 1 of bytes that have this bit, and 0 of others."""
    return bytes(int(each & bit != 0) for each in range(256))


_HAVE_MAPPING, _ARE_CURRENT = _with(HAS_MAPPING), _with(IS_CURRENT)


def _is_indexed_alike(one: bytes, other: bytes) -> bool:
    return one[KEYS] == other[KEYS] and (one[29] ^ other[29]) & HAS_MAPPING == 0


def _decrease(counts: Counter[Any], key: object) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
