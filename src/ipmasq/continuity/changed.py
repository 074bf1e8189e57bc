"""Changed records as values that MessagePack can write. Plain flows and mappings are rows of a fixed size (`core.compact`),
one after the other, so that a reader does not decode each to know what there is."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

from ipmasq.core.changes import Kind, Record, read_record
from ipmasq.core.compact import FLOW, MAPPING, Compact, pack_flow, pack_mapping


class Changed(NamedTuple):
    records: Sequence[Record]
    rows: Compact
    """Plain flows and mappings, without moments."""
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
    others, flows, rows, mappings, mapping_rows, *ended = values
    compact = Compact(
        flows=dict(zip(_read(flows), _cut(rows, FLOW.size), strict=True)),
        mappings=dict(zip(_read(mappings), _cut(mapping_rows, MAPPING.size), strict=True)),
    )
    ended_flows, ended_mappings = map(_read, ended)
    return Changed(list(map(read_record, others)), compact, ended_flows, ended_mappings)


def _numbers(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def _read(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 8}Q", data)


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
