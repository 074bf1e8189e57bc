"""What a standby holds ready: the last record of each thing that another member has published."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import NamedTuple

from ipmasq.continuity.changed import Changed, drop_replaced
from ipmasq.core.changes import Key, Kind
from ipmasq.core.indexed import Indexed
from ipmasq.core.restoring import Kept
from ipmasq.core.rows import Rows

AT_ONCE = 1 << 14
"""Rows that are indexed together, as long as nothing else comes in between."""


class Row(NamedTuple):
    row: object
    moment: float
    """When it was written, on the clock of this member."""


class Held:
    def __init__(self) -> None:
        self.records: dict[Key, Row] = {}
        """All that is no row of `plain`."""
        self._plain = Indexed()
        self._waiting: list[tuple[Changed, float]] = []
        """Rows that are not in `plain` yet, and when they were written."""
        self._deferred: list[tuple[Changed, float]] | None = None
        """All that has come since `defer`, likewise."""
        self._count = 0
        """How many things have come that are not indexed yet."""

    @property
    def plain(self) -> Indexed:
        """Plain flows and mappings."""
        self.settle()
        return self._plain

    def __len__(self) -> int:
        """The number of things; as long as some have come that are not indexed, about so many."""
        return len(self.records) + len(self._plain) + self._count

    def apply(self, changed: Changed, moment: float) -> None:
        """Let records, written at a moment, take the place of earlier ones. The values of rows must have been checked.
        They are indexed later (see `settle`, and `defer`)."""
        if self._deferred is not None:
            self._deferred.append((changed, moment))
            self._count += _count(changed) + len(changed.records)
        else:
            self._apply(changed, moment)

    def _apply(self, changed: Changed, moment: float) -> None:
        if changed.records or changed.ended_flows or changed.ended_mappings:
            self.settle()
            self._apply_others(changed, moment)
        drop_replaced(self.records, changed)
        self._waiting.append((changed, moment))
        self._count += _count(changed)
        if self._count >= AT_ONCE:
            self.settle()

    # -- what is indexed late

    def defer(self) -> None:
        """Keep what comes as it is until `index` is called, since to index it takes longer than to read it. Meanwhile only
        `newest` and the number of things may be asked for."""
        self._deferred = []

    @property
    def is_deferred(self) -> bool:
        return self._deferred is not None

    def newest(self, count: int) -> Iterator[bytes]:
        """Yield the latest row of each plain flow that has come since `defer`, about so many at a time, the newest first."""
        known, some, size = set[int | str](), list[bytes](), 0
        for changed, _ in reversed(list(self._deferred or ())):
            flows = changed.flows
            if not known.isdisjoint(flows.numbers):
                flows = flows.only([number not in known for number in flows.numbers])
            some.append(flows.data)
            size += len(flows.data)
            if size >= count * flows.size:
                yield b"".join(some)
                some, size = [], 0
            known.update(changed.flows.numbers, changed.ended_flows)
            known.update(name for kind, name, _ in changed.records if kind == Kind.FLOW)
        if some:
            yield b"".join(some)

    def index(self) -> None:
        """Index what has come since `defer`, and from here on what comes."""
        deferred, self._deferred, self._count = self._deferred, None, 0
        if deferred is not None:
            deferred.reverse()
            while deferred:  # each is let go, since there may be a million rows
                self._apply(*deferred.pop())
        self.settle()

    def _apply_others(self, changed: Changed, moment: float) -> None:
        """Apply what is no row."""
        records, plain, flow, mapping = self.records, self._plain, Kind.FLOW, Kind.MAPPING
        for ended, numbers in (flow, changed.ended_flows), (mapping, changed.ended_mappings):
            plain.drop(ended, numbers)
            for number in numbers:
                records.pop((ended, number), None)
        for kind, name, row in changed.records:
            if row is None:
                records.pop((kind, name), None)
                continue
            records[kind, name] = Row(row, moment)
            if not isinstance(name, int):
                continue
            if kind == Kind.POOL:
                plain.mappings.add_pool(name, row)
            elif kind in (flow, mapping):
                plain.drop(kind, (name,))

    def settle(self) -> None:
        """Index the rows that wait: many at once take a fraction of the time."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        self._count = 0
        mappings = Rows.joined([changed.mappings for changed, _ in waiting])
        flows = Rows.joined([changed.flows for changed, _ in waiting])
        if len(waiting) > 1 and not (mappings.are_unique and flows.are_unique):
            for each in waiting:
                self._add([each], each[0].mappings, each[0].flows)
            return
        self._add(waiting, mappings, flows)

    def _add(self, waiting: list[tuple[Changed, float]], mappings: Rows, flows: Rows) -> None:
        moments = (repeat(moment, len(changed.flows.numbers)) for changed, moment in waiting)
        self._plain.add_mappings(mappings)
        self._plain.add_flows(flows, list(chain.from_iterable(moments)))

    # -- all of it

    def of_gateway(self) -> dict[str, object]:
        """Return what does not belong to the engine but to the gateway around it, by its names."""
        return {
            str(name): row.row for (kind, name), row in self.records.items() if kind == Kind.GATEWAY
        }

    def of_engine(self) -> list[Kept]:
        """Return the records of the engine that are no row of `plain`."""
        return [
            Kept(kind, name, *row)
            for (kind, name), row in self.records.items()
            if kind != Kind.GATEWAY
        ]

    def rows_as_records(self) -> Iterator[Kept]:
        """Yield the records of what is in `plain`."""
        for record, moment in self.plain.records():
            yield Kept(*record, 0.0 if moment is None else moment)


def _count(changed: Changed) -> int:
    """Return the number of rows."""
    return len(changed.flows.numbers) + len(changed.mappings.numbers)
