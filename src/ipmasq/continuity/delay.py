"""Which records are written at once, and which only once they are older: most connections are short, and one that
has ended meanwhile costs the store and the standby nothing.

What helpers have to do with is never delayed: inspected flows, their data flows, expectations and triggers. A flow
or an expectation needs its mapping, and mappings depend on each other, so with it all mappings are written. An
inspected flow needs the rest, which says which helpers are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ipmasq.core.changes import Key, Kind, Record
from ipmasq.core.records import FLOW_NAMES, INSPECTOR

AT_ONCE = frozenset((Kind.POOL, Kind.EXPECTATION, Kind.TRIGGER, Kind.GATEWAY))

MASTER = FLOW_NAMES.index("master")
MAPPED = tuple(map(FLOW_NAMES.index, ("has_mapping", "has_server_mapping", "out", "back")))


def is_urgent(record: Record) -> bool:
    """Return whether a connection could not go on without this record."""
    if record.kind != Kind.FLOW:
        return record.kind in AT_ONCE
    row: Any = record.row
    return row is not None and (row[INSPECTOR] is not None or row[MASTER] is not None)


def mappings_of(record: Record) -> object:
    """Return what a record says of mappings; None if nothing."""
    row: Any = record.row
    if record.kind == Kind.FLOW:
        return tuple(row[at] for at in MAPPED)
    return row if record.kind == Kind.EXPECTATION else None


class Delay:
    def __init__(self, after: float, inherited: int | None = None) -> None:
        """`after` is how old a record must be, in seconds. `inherited`: see there."""
        self._after = after
        self.inherited = inherited
        """The number of the last flow of which the store may have a record of an earlier writer, and with it records of
        other things; None if it has none of these."""
        self._needs_mappings = False
        self._young: dict[Key, tuple[float, Record]] = {}
        """With the moments from which on they are old enough, which increase."""
        self._written: dict[Key, object] = {}
        """What the store has, so that it must hear of its end, too; of each flow what it has to do with mappings."""

    def note(self, records: Iterable[Record]) -> None:
        """Record that these were written otherwise."""
        for record in records:
            self._note(record)

    def choose(self, changed: Sequence[Record], now: float) -> list[Record]:
        """Return those of the changed records, and of earlier ones, that are to be written now."""
        written = self._written
        chosen: list[Record] = []
        for record in changed:
            key = record.kind, record.key
            is_known = key in written or self._is_inherited(record)
            if is_urgent(record) or (is_known and record.kind != Kind.REST):
                self._note(record)
                chosen.append(record)
            elif record.row is None:
                self._young.pop(key, None)
            else:
                since, _ = self._young.get(key, (now + self._after, record))
                self._young[key] = since, record
        chosen[:0] = self._old(now)
        if self._needs_mappings:
            self._needs_mappings = False
            chosen[:0] = self._take(Kind.MAPPING)
        if any(record.kind == Kind.FLOW and is_urgent(record) for record in chosen):
            chosen[:0] = self._take(Kind.REST)
        return chosen

    def _is_inherited(self, record: Record) -> bool:
        if self.inherited is None:
            return False
        return record.kind != Kind.FLOW or int(record.key) <= self.inherited

    @property
    def next(self) -> float | None:
        """When the next record will be old enough."""
        return next((since for since, _ in self._young.values()), None)

    def _take(self, kind: int) -> list[Record]:
        found = [record for key, (_, record) in self._young.items() if key[0] == kind]
        self.note(found)
        return found

    def _old(self, now: float) -> list[Record]:
        found: list[Record] = []
        for since, record in self._young.values():
            if since > now:
                break
            found.append(record)
        self.note(found)
        return found

    def _note(self, record: Record) -> None:
        key, row = (record.kind, record.key), record.row
        self._young.pop(key, None)
        if row is None:
            self._written.pop(key, None)
            return
        mapped = mappings_of(record)
        if mapped is not None and self._written.get(key) != mapped:
            self._needs_mappings = True
        self._written[key] = mapped
