"""What entries of the replication stream carry: records that have changed, or parts of a snapshot.

A snapshot travels in the stream itself: BEGIN, PARTs with the records of everything, END. Changes go on in between;
each part holds records as they are when it is written, so that for each key the last record in the stream is
the present one. What precedes the latest whole snapshot is not needed any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import msgpack

from ipmasq.core.changes import Record, read_record


class Part(IntEnum):
    CHANGES = 0
    BEGIN = 1
    PART = 2
    END = 3


class Batch(NamedTuple):
    part: Part
    records: list[Record]


class DamagedError(ValueError):
    """It is no batch."""


def pack(part: Part, records: Iterable[Record] = ()) -> bytes:
    packed: bytes = msgpack.packb((part, *records))
    return packed


def unpack(data: bytes) -> Batch:
    """Raises DamagedError."""
    try:
        part, *rows = msgpack.unpackb(data, strict_map_key=False, use_list=True)
        return Batch(Part(part), list(map(read_record, rows)))
    except Exception as error:  # the library raises a dozen kinds
        raise DamagedError(str(error)) from error
