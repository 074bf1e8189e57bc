"""What entries of the replication stream carry: records that have changed, or parts of a snapshot.

A snapshot travels in the stream itself: BEGIN, PARTs with the records of everything, END. Changes go on in between;
each part holds records as they are when it is written, so that for each key the last record in the stream is
the present one. What precedes the latest whole snapshot is not needed any more. Between ANEW and END a reader keeps
what it has from before, since changes have other numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import msgpack

from ipmasq.continuity.changed import Changed, from_values, to_values
from ipmasq.core.changes import Record
from ipmasq.core.compact import check_flows, check_mappings


class Part(IntEnum):
    CHANGES = 0
    BEGIN = 1
    PART = 2
    END = 3
    ANEW = 4
    """What comes after it has other numbers than what an earlier writer has written; a snapshot follows."""


class Batch(NamedTuple):
    part: Part
    changed: Changed


class DamagedError(ValueError):
    """It is no batch."""


def pack(part: Part, records: Iterable[Record] = ()) -> bytes:
    packed: bytes = msgpack.packb((part, *to_values(records)))
    return packed


def unpack(data: bytes) -> Batch:
    """Return a batch, the values of whose rows are checked. Raises DamagedError."""
    try:
        part, *values = msgpack.unpackb(data, strict_map_key=False, use_list=True)
        changed = from_values(values)
        check_flows(changed.flows)
        check_mappings(changed.mappings)
        return Batch(Part(part), changed)
    except Exception as error:  # the library raises a dozen kinds
        raise DamagedError(str(error)) from error
