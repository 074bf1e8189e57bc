"""Rows of mappings (see `compact`), indexed by their public endpoints, which follow from their numbers."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import rshift
from typing import Any, NamedTuple

from ipmasq.core.compact import IS_CURRENT
from ipmasq.core.rows import Rows, having, woven
from ipmasq.wire.addresses import Address

ADDRESS_LENGTHS = 4, 16
"""Bytes of an address. The public endpoints of a longer one would fill the memory."""


class Pool(NamedTuple):
    """What is known of a pool of public ports."""

    protocol: int
    address: Address
    is_shared: bool

    @property
    def key(self) -> bytes:
        return bytes((self.protocol,)) + self.address


class IndexedMappings:
    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        """The rows by their public endpoints (see `endpoint_key`)."""
        self._aside: dict[int, bytes] = {}
        """Those of no pool, or whose public endpoint another mapping has, by their numbers."""
        self.pools: dict[int, Pool] = {}
        """By their numbers."""
        self.currents: dict[bytes, int] = {}
        """Those mappings that new flows get, too, by their keys."""
        self.ports: Counter[tuple[int, Address]] = Counter()
        """Mappings by protocol and inside host, without shared ones."""
        self.taken: dict[int, set[int]] = {}
        """Ports of mappings, by the number of their pool."""
        self._numbers: dict[bytes, list[int]] = {}
        """Pools by protocol and address."""
        self._currents = 0
        """How many mappings should be in `currents`."""
        self.sum = 0
        """That of the hashes of all public endpoints."""
        self._problem = ""
        """Why a row cannot be used, if one could not."""

    def __len__(self) -> int:
        return len(self.rows) + len(self._aside)

    def numbered(self) -> Iterator[tuple[int, bytes]]:
        """Yield the rows of mappings with their numbers."""
        for number, ports in self.taken.items():
            publics = _publics(self.pools[number], tuple(ports))
            for port, public in zip(ports, publics, strict=True):
                yield number << 16 | port, self.rows[public]
        yield from self._aside.items()

    def public(self, number: int) -> bytes:
        """Return the public endpoint of a mapping; see `endpoint_key`."""
        return _publics(self.pools[number >> 16], [number & 0xFFFF])[0]

    def number_at(self, public: bytes) -> int | None:
        """Return the number of the mapping that has a public endpoint."""
        port = public[1] << 8 | public[2]
        for pool in self._numbers.get(public[:1] + public[3:], ()):
            if port in self.taken.get(pool, ()):
                return pool << 16 | port
        return None

    def objection(self) -> str:
        """Return how rows contradict each other; empty if they do not."""
        for number in self._aside:
            if number >> 16 not in self.pools:
                return f"mapping {number}: is of no pool"
            return "state: two mappings have the same public port"
        if len(self.currents) != self._currents:
            return "state: two mappings of the same endpoint are current"
        return self._problem

    def note_pool(self, number: int, pool: Pool) -> None:
        """Note a pool that is not known yet."""
        self.pools[number] = pool
        self._numbers.setdefault(pool.key, []).append(number)

    def add_pool(self, number: int, row: Any) -> None:
        """Note what a pool's record says. That it is no pool, or another one now, is found by `confirm`."""
        match row:
            case [int(protocol), bytes(address), _, bool(is_shared)] if 0 <= protocol < 256:
                if number not in self.pools and len(address) in ADDRESS_LENGTHS:
                    self.note_pool(number, Pool(protocol, address, is_shared))

    def add(self, rows: Rows) -> None:
        """Add mappings, or let newer rows take the place of theirs."""
        if self._aside:
            for number in rows.numbers:
                self._aside.pop(number, None)
        for pool, those in rows.grouped(list(map(rshift, rows.numbers, repeat(16)))):
            new = those.only(self._are_new(pool, those))
            if new.numbers:
                self._enter(pool, new)

    def _are_new(self, pool: int, rows: Rows) -> Sequence[object]:
        """Set rows of a pool aside that cannot be indexed, forget those of which there is another one now, and return which
        are new."""
        known = self.pools.get(pool)
        if known is None:
            self._aside.update(zip(rows.numbers, rows.each(), strict=True))
            return [False] * len(rows.numbers)
        taken = [self.taken.get(each, set()) for each in self._numbers[known.key]]
        ports = _ports(rows.numbers)
        if all(each.isdisjoint(ports) for each in taken):
            return b"\1" * len(ports)
        return list(map(self._is_new, rows.numbers, rows.each()))

    def _is_new(self, number: int, row: bytes) -> bool:
        public = self.public(number)
        before = self.number_at(public)
        if before not in (None, number):
            self._aside[number] = row
            return False
        if before is None or self.rows[public] == row:
            return before is None
        self.drop(number)
        return True

    def _enter(self, number: int, rows: Rows) -> None:
        """Enter mappings of one pool."""
        pool, ports = self.pools[number], _ports(rows.numbers)
        publics = _publics(pool, ports)
        self.rows.update(zip(publics, rows.each(), strict=True))
        self.sum += sum(map(hash, publics))
        self.taken.setdefault(number, set()).update(ports)
        if not pool.is_shared:
            for length, those in rows.grouped(rows.column(0)):
                self._enter_insides(pool, length, those)

    def drop(self, number: int) -> None:
        """Forget a mapping, if there is one of this number."""
        self._aside.pop(number, None)
        if number & 0xFFFF not in self.taken.get(number >> 16, ()):
            return
        pool, taken = self.pools[number >> 16], self.take(self.public(number))
        if taken is None or pool.is_shared:
            return
        _, row = taken
        self._currents -= bool(row[1] & IS_CURRENT)
        host = pool.protocol, row[5 : 5 + len(pool.address)]
        self.ports[host] -= 1
        if not self.ports[host]:
            del self.ports[host]

    def take(self, public: bytes) -> tuple[int, bytes] | None:
        """Remove a mapping that is still counted. Return its number and its row."""
        number = self.number_at(public)
        if number is None:
            return None
        row = self.rows.pop(public)
        self.sum -= hash(public)
        key = row[2 : 2 + row[0]]
        if self.currents.get(key) == number:
            del self.currents[key]
        self.taken[number >> 16].discard(number & 0xFFFF)
        return number, row

    def _enter_insides(self, pool: Pool, length: int, rows: Rows) -> None:
        """Enter the keys of mappings of one pool, which have all the same length."""
        protocol, size = pool.protocol, len(pool.address)
        if length < 3 + size or rows.column(2).strip(bytes((protocol,))):
            self._problem = f"mapping {rows.numbers[0]}: is not of its pool"
            return
        for host, count in Counter(rows.slices(5, size)).items():
            self.ports[protocol, host] += count
        current = rows.only(rows.column(1).translate(having(IS_CURRENT)))
        self._currents += len(current.numbers)
        self.currents.update(zip(current.slices(2, length), current.numbers, strict=True))


def _ports(numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(map((0xFFFF).__and__, numbers))


def _publics(pool: Pool, ports: Sequence[int]) -> tuple[bytes, ...]:
    """Return the public endpoints of ports of a pool."""
    count, packed = len(ports), struct.pack(f">{len(ports)}H", *ports)
    address = [bytes((each,)) * count for each in pool.address]
    return woven([bytes((pool.protocol,)) * count, packed[::2], packed[1::2], *address])
