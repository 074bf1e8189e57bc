"""What a standby holds ready: the last record of each thing that another member has published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ipmasq.continuity.changed import Changed, drop_replaced
from ipmasq.core.changes import Key, Kind
from ipmasq.core.indexed import Indexed
from ipmasq.core.restoring import Kept


class Row(NamedTuple):
    row: object
    moment: float
    """When it was written, on the clock of this member."""


class Held:
    def __init__(self) -> None:
        self.records: dict[Key, Row] = {}
        """All that is no row of `plain`."""
        self.plain = Indexed()
        """Plain flows and mappings."""

    def __len__(self) -> int:
        return len(self.records) + len(self.plain)

    def apply(self, changed: Changed, moment: float) -> None:
        """Let records, written at a moment, take the place of earlier ones. The values of rows must have been checked."""
        records, plain = self.records, self.plain
        flow, mapping = Kind.FLOW, Kind.MAPPING
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
                plain.add_pool(name, row)
            elif kind in (flow, mapping):
                plain.drop(kind, (name,))
        drop_replaced(records, changed)
        plain.add_mappings(changed.mappings)
        plain.add_flows(changed.flows, dict.fromkeys(changed.flows.numbers, moment))

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
