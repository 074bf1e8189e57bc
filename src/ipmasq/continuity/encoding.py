"""One turn of the loop as bytes: the records of what changed, and when they were written.

A batch is MessagePack behind a checksum. The checksum finds damage; it is no protection against forgery, for which
whoever sends batches over a network adds an authentication code. Plain flows and mappings are rows of a fixed size
(`ipmasq.core.compact`), which a reader need not decode to know what there is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast
from zlib import crc32

import msgpack

from ipmasq.core.changes import Kind, Record, read_record
from ipmasq.core.compact import FLOW, MAPPING, Compact, pack_flow, pack_mapping
from ipmasq.core.plain import StateError

FORMAT = 2
"""A new number whenever an older batch cannot be read any more."""

CHECKSUM = 4
"""Bytes of the checksum, which comes first."""


class Batch(NamedTuple):
    moment: float
    """When it was written, in seconds on the clock of the host since it was started (`CLOCK_MONOTONIC`)."""
    wall: float
    """The same moment on the wall clock, in seconds since 1970, for a reader after a restart of the host."""
    records: Sequence[Record]
    rows: Compact
    """Plain flows and mappings, without moments."""
    ended_flows: Sequence[int]
    ended_mappings: Sequence[int]


def encode(moment: float, wall: float, records: Iterable[Record]) -> bytes:
    """Return a batch as bytes. Raises ValueError for a value that is not plain."""
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
    try:
        return _checked([FORMAT, moment, wall, others, *parts, *map(_numbers, ended)])
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _checked(values: Sequence[object]) -> bytes:
    body = cast(bytes, msgpack.packb(values))
    return crc32(body).to_bytes(CHECKSUM, "big") + body


def decode(data: bytes) -> Batch:
    """Return the batch of these bytes. Raises StateError if they are damaged or of another format."""
    values = _values(data)
    try:
        _, moment, wall, others, flows, rows, mappings, mapping_rows, *ended = values
        records = list(map(read_record, others))
        compact = Compact(
            flows=dict(zip(_read(flows), _cut(rows, FLOW.size), strict=True)),
            mappings=dict(zip(_read(mappings), _cut(mapping_rows, MAPPING.size), strict=True)),
        )
        ended_flows, ended_mappings = map(_read, ended)
        return Batch(float(moment), float(wall), records, compact, ended_flows, ended_mappings)
    except (TypeError, ValueError, struct.error) as error:
        raise StateError(f"a batch has another form: {error}") from error


def moved(data: bytes, moment: float) -> bytes:
    """Return a batch as if it had been written at another moment of this host's clock. Raises StateError."""
    _, _, *rest = _values(data)
    return _checked([FORMAT, moment, *rest])


def _values(data: bytes) -> list[Any]:
    """Return the values of a batch. Raises StateError."""
    body = data[CHECKSUM:]
    if crc32(body).to_bytes(CHECKSUM, "big") != data[:CHECKSUM]:
        raise StateError("a batch is damaged: its checksum is wrong")
    try:
        values: Any = msgpack.unpackb(body, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise StateError(f"a batch cannot be read: {error}") from error
    if not isinstance(values, list) or not values or values[0] != FORMAT:
        raise StateError("a batch is of another format")
    return values


def _numbers(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def _read(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 8}Q", data)


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
