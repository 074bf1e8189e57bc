"""Changed records as values that MessagePack can write. Plain flows and mappings are rows of a fixed size (`core.compact`),
one after the other, so that a reader does not decode each to know what there is."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, NamedTuple, TypeVar, cast

from ipmasq.core.changes import Key, Kind, Record, read_record
from ipmasq.core.compact import FLOW, MAPPING, pack_flow, pack_mapping
from ipmasq.core.rows import Rows

T = TypeVar("T")


class Changed(NamedTuple):
    records: Sequence[Record]
    flows: Rows
    """Plain flows."""
    mappings: Rows
    ended_flows: Sequence[int]
    ended_mappings: Sequence[int]


def to_values(records: Iterable[Record]) -> list[object]:
    """Return these records as values."""
    others: list[Record] = []
    flows: list[int] = []
    rows: list[bytes] = []
    mappings: list[int] = []
    mapping_rows: list[bytes] = []
    ended: tuple[list[int], list[int]] = [], []
    flow, mapping = int(Kind.FLOW), int(Kind.MAPPING)
    for record in records:
        kind, number, values = record
        if kind == flow:
            if values is None:
                ended[0].append(cast(int, number))
            elif (row := pack_flow(values)) is not None:
                flows.append(cast(int, number))
                rows.append(row)
            else:
                others.append(record)
        elif kind == mapping:
            if values is None:
                ended[1].append(cast(int, number))
            elif (row := pack_mapping(values)) is not None:
                mappings.append(cast(int, number))
                mapping_rows.append(row)
            else:
                others.append(record)
        else:
            others.append(record)
    parts = _numbers(flows), b"".join(rows), _numbers(mappings), b"".join(mapping_rows)
    return [others, *parts, *map(_numbers, ended)]


def from_values(values: Sequence[Any]) -> Changed:
    """Return what `to_values` has written. Raises TypeError, ValueError or `struct.error` for anything else. The values
    of rows are not checked."""
    others, flows, rows, mappings, mapping_rows, ended_flows, ended_mappings = values
    if not isinstance(rows, bytes) or not isinstance(mapping_rows, bytes):
        raise TypeError("rows are bytes")
    changed = Changed(
        list(map(read_record, others)),
        Rows(_read(flows), rows, FLOW.size),
        Rows(_read(mappings), mapping_rows, MAPPING.size),
        _read(ended_flows),
        _read(ended_mappings),
    )
    if not (changed.flows.is_sound and changed.mappings.is_sound):
        raise ValueError("a number has no row, or several")
    return changed


def drop_replaced(records: dict[Key, T], changed: Changed) -> None:
    """Drop those of the last records of things that have a row now."""
    for kind, rows in (Kind.FLOW, changed.flows), (Kind.MAPPING, changed.mappings):
        if len(records) < len(rows.numbers):
            numbers = set(rows.numbers)
            for key in [key for key in records if key[0] == kind and key[1] in numbers]:
                del records[key]
        elif not records.keys().isdisjoint(zip(repeat(kind), rows.numbers)):
            for number in rows.numbers:
                records.pop((kind, number), None)


def _numbers(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def _read(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 8}Q", data)
