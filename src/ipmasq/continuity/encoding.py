"""One turn of the loop as bytes: the records of what changed, and when they were written.

A batch is MessagePack behind a checksum. The checksum finds damage; it is no protection against forgery, for which
whoever sends batches over a network adds an authentication code.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast
from zlib import crc32

import msgpack

from ipmasq.continuity.changed import Changed, from_values, to_values
from ipmasq.core.changes import Record
from ipmasq.core.compact import check_flows, check_mappings
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
    changed: Changed


def encode(moment: float, wall: float, records: Iterable[Record]) -> bytes:
    """Return a batch as bytes. Raises ValueError for a value that is not plain."""
    try:
        return _checked([FORMAT, moment, wall, *to_values(records)])
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _checked(values: Sequence[object]) -> bytes:
    body = cast(bytes, msgpack.packb(values))
    return crc32(body).to_bytes(CHECKSUM, "big") + body


def decode(data: object) -> Batch:
    """Return the batch of these bytes, whose rows have been checked. Raises StateError if they are damaged or of another format."""
    values = _values(data)
    try:
        _, moment, wall, *rest = values
        batch = Batch(float(moment), float(wall), from_values(rest))
    except (TypeError, ValueError, struct.error) as error:
        raise StateError(f"a batch has another form: {error}") from error
    check_flows(batch.changed.flows)
    check_mappings(batch.changed.mappings)
    return batch


def moved(data: bytes, moment: float) -> bytes:
    """Return a batch as if it had been written at another moment of this host's clock. Raises StateError."""
    _, _, *rest = _values(data)
    return _checked([FORMAT, moment, *rest])


def _values(data: object) -> list[Any]:
    """Return the values of a batch. Raises StateError."""
    if not isinstance(data, bytes):
        raise StateError("a batch is not stored as bytes")
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
