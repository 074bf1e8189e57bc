"""Rows of plain flows and of mappings (see `compact`), with what an engine must know of all of them before it serves: their
keys, and what they count to.

The index follows rows as they come and go, so that a member of a group that takes over need not look at each. A row may
contradict others for a while, since records of one moment come one after the other. So contradictions are found by
counts, and only at last (`confirm`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any

from ipmasq.core.changes import Kind, Record
from ipmasq.core.compact import (
    BACK,
    BITS,
    FLOW,
    HAS_MAPPING,
    MAPPING,
    OUT,
    Compact,
    unpack_flow,
    unpack_mapping,
)
from ipmasq.core.flow_rows import FlowRows
from ipmasq.core.indexed_mappings import IndexedMappings, Pool
from ipmasq.core.plain import StateError
from ipmasq.core.rows import Rows, having
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Address

KEYS = slice(BACK.start, OUT.stop)


class Indexed:
    def __init__(self) -> None:
        self.flows = FlowRows()
        self.mappings = IndexedMappings()
        self.by_key: dict[bytes, int] = {}
        """Flows by the key of what leaves for the client, with protocol and side before it; those without a mapping by that of
        what leaves for the server, too."""
        self.by_public: dict[bytes, int | dict[bytes, int]] = {}
        """The flow that has a mapping, by its public endpoint; if there are several, by their keys of what leaves for the
        server."""
        self._sum = 0
        """That of the hashes of these public endpoints."""
        self._unused: Set[bytes] | None = None
        """See `unused`; None if it is not known."""
        self.hosts: Counter[Address] = Counter()
        """Flows by inside host."""
        self._keys = self._missing = 0
        """How many keys should be in `by_key`, and how many flows are missing in `by_public`."""

    @classmethod
    def of(cls, compact: Compact, pools: dict[int, Pool]) -> Indexed:
        """Return an index of rows whose values are checked (`Compact.check_rows`)."""
        made = cls()
        for number, pool in pools.items():
            made.mappings.note_pool(number, pool)
        made.add_mappings(Rows.of(compact.mappings, MAPPING.size))
        moments = [compact.moments[number] for number in compact.flows]
        made.add_flows(Rows.of(compact.flows, FLOW.size), moments)
        return made

    @property
    def compact(self) -> Compact:
        """The rows, each by itself."""
        made = Compact(mappings=dict(self.mappings.numbered()))
        for number, row, moment in self.flows.each():
            made.flows[number], made.moments[number] = row, moment
        return made

    def confirm(self, pools: dict[int, Pool]) -> Indexed:
        """Return an index of these rows for the pools that there are: this one, unless rows have contradicted each other
        meanwhile, or the pools are others. Raises StateError if they still do."""
        known = self.mappings.pools
        same = all(pools.get(each) == known[each] for each in self.mappings.taken)
        if same and not self._objection():
            return self
        made = Indexed.of(self.compact, pools)
        if objection := made._objection():
            raise StateError(objection)
        return made

    def _objection(self) -> str:
        """Return how rows contradict each other; empty if they do not."""
        if objection := self.mappings.objection():
            return objection
        if len(self.by_key) != self._keys or self._missing:
            return "state: two flows have the same addresses and ports"
        if len(self.mappings.rows) - len(self.unused()) != len(self.by_public):
            return "state: a flow has a mapping of which there is no record"
        return ""

    def records(self) -> Iterator[tuple[Record, float | None]]:
        """Yield the rows as records, each with the moment when it was written; None for a mapping, which has no age."""
        for number, row in self.mappings.numbered():
            yield Record(Kind.MAPPING, number, unpack_mapping(row)), None
        for number, row, moment in self.flows.each():
            yield Record(Kind.FLOW, number, unpack_flow(row)), moment

    def unused(self) -> Set[bytes]:
        """Return the public endpoints of mappings that no flow has. To look at each endpoint takes long, so those of flows
        and those of mappings are first compared by number and sum. Hashes of bytes have a secret, so other endpoints have
        the same sum by chance only, once in 2**60."""
        mapped, used = self.mappings.rows.keys(), self.by_public.keys()
        if len(mapped) == len(used) and self.mappings.sum == self._sum:
            return set()
        if self._unused is None:
            self._unused = mapped - used
        return self._unused

    def unused_numbers(self) -> list[int]:
        """Return the numbers of those mappings."""
        numbers = map(self.mappings.number_at, self.unused())
        return [number for number in numbers if number is not None]

    def find(self, key: bytes) -> int | None:
        """Return the number of the flow that has a key, with protocol and side before it."""
        number = self.by_key.get(key)
        if number is not None:
            return number
        known = self.by_public.get(key[:1] + key[10:12] + key[2:6])
        if known is None:
            return None
        if isinstance(known, dict):
            return known.get(key)
        row = self.flows.get(known)
        return known if row is not None and row[OUT] == key else None

    def __len__(self) -> int:
        return len(self.flows) + len(self.mappings)

    # -- rows that come and go

    def add_flows(self, rows: Rows, moments: Sequence[float]) -> None:
        """Add flows, or let newer rows take the place of theirs. `moments`: when each was written."""
        if self.flows.has_any(rows.numbers):
            known = list(map(self._renew, rows.numbers, rows.each(), moments))
            rows = rows.only([not each for each in known])
            moments = [moment for moment, each in zip(moments, known, strict=True) if not each]
        self.flows.add(rows, moments)
        have_mapping = rows.column(BITS).translate(having(HAS_MAPPING))
        mapped = rows.only(have_mapping)
        self._enter_keys(BACK, rows)
        self.hosts.update(_hosts(rows))
        if mapped is not rows:
            self._enter_keys(OUT, rows.only([not each for each in have_mapping]))
        self._enter_users(mapped.gathered(PUBLIC), mapped.numbers)

    def _renew(self, number: int, row: bytes, moment: float) -> bool:
        """Let a row take the place of that of the same flow. Return False if that flow is not there, or is no more since it
        is to be indexed anew."""
        before = self.flows.get(number)
        if before is None:
            return False
        if not _is_indexed_alike(before, row):
            self.drop_flow(number)
            return False
        self.flows.replace(number, row, moment)
        return True

    def _enter_keys(self, key: slice, rows: Rows) -> None:
        keys = rows.slices(key.start, key.stop - key.start)
        self._keys += len(keys)
        self.by_key.update(zip(keys, rows.numbers, strict=True))

    def _enter_users(self, publics: Sequence[bytes], numbers: Sequence[int]) -> None:
        """Note which flows have these public endpoints."""
        by_public = self.by_public
        self._unused = None
        count = len(by_public)
        known = list(map(by_public.setdefault, publics, numbers))
        if len(by_public) - count == len(numbers):
            self._sum += sum(map(hash, publics))
            return
        for public, number, first in zip(publics, numbers, known, strict=True):
            if first == number:
                self._sum += hash(public)
            else:
                self._add_another(public, number)

    def _add_another(self, public: bytes, number: int) -> None:
        """Note one more flow of a mapping that has some."""
        known = self.by_public[public]
        if isinstance(known, int):
            self.by_public[public] = known = {self._out(known): known}
        out = self._out(number)
        self._missing += out in known
        known[out] = number

    def _out(self, number: int) -> bytes:
        return (self.flows.get(number) or b"")[OUT]

    def drop_flow(self, number: int) -> None:
        """Forget a flow, if there is one of this number."""
        found = self.flows.pop(number)
        if found is None:
            return
        row, _ = found
        _decrease(self.hosts, host_of(row))
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
        self._sum -= hash(public)
        self._unused = None

    def add_mappings(self, rows: Rows) -> None:
        """Add mappings, or let newer rows take the place of theirs."""
        self._unused = None
        self.mappings.add(rows)

    def drop_mapping(self, number: int) -> None:
        """Forget a mapping, if there is one of this number."""
        self._unused = None
        self.mappings.drop(number)

    def drop(self, kind: int, numbers: Iterable[int]) -> None:
        """Forget flows or mappings, as far as they are here."""
        drop = self.drop_flow if kind == Kind.FLOW else self.drop_mapping
        for number in numbers:
            drop(number)

    # -- rows that are restored

    def take_users(self, public: bytes) -> Iterable[int]:
        """Remove the flows of a mapping from the index of mappings, and return them."""
        flows, self._unused = self.by_public.pop(public, {}), None
        self._sum -= hash(public) if flows else 0
        return (flows,) if isinstance(flows, int) else flows.values()

    def take_flow(self, number: int) -> tuple[bytes, float] | None:
        """Remove a flow that is restored now. Return its row, and when it was written."""
        found = self.flows.pop(number)
        if found is not None:
            row, _ = found
            del self.by_key[row[BACK]]
            if not row[BITS] & HAS_MAPPING:
                del self.by_key[row[OUT]]
        return found


PUBLIC = 0, 24, 25, 16, 17, 18, 19
"""Where the row of a flow has the public endpoint of its mapping; see `endpoint_key`."""


def public_of(row: bytes) -> bytes:
    """Return the public endpoint of the mapping of a flow."""
    return row[:1] + row[24:26] + row[16:20]


def host_of(row: bytes) -> Address:
    """Return the inside host of a flow."""
    return row[6:10] if row[1] == Side.INSIDE else row[20:24]


def _hosts(rows: Rows) -> Sequence[bytes]:
    """Return the inside hosts of flows."""
    clients, inside = rows.column(1), rows.slices(6, 4)
    if not clients.strip(bytes((Side.INSIDE,))):
        return inside
    those = zip(clients, inside, rows.slices(20, 4), strict=True)
    return [host if client == Side.INSIDE else other for client, host, other in those]


def _is_indexed_alike(one: bytes, other: bytes) -> bool:
    return one[KEYS] == other[KEYS] and (one[29] ^ other[29]) & HAS_MAPPING == 0


def _decrease(counts: Counter[Any], key: object) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
