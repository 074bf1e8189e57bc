"""What has changed since a store last asked for it: the keys of records (see `records`).

Whatever changes a thing marks it here. Without a store nothing is marked, which costs one look at `is_kept`.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf
from typing import NamedTuple, TypeAlias


class Kind(IntEnum):
    """The kinds of records, with what their keys are."""

    REST = 0
    """All that is small. Its key is 0."""
    POOL = 1
    """A pool of public ports, by its number."""
    MAPPING = 2
    """By the number of its pool and its port: see `Mapping.number`."""
    FLOW = 3
    """By its number."""
    EXPECTATION = 4
    """By its number."""
    TRIGGER = 5
    """By the name of the trigger."""
    DATAGRAM = 6
    """A datagram that is being reassembled, by its number. It is not marked when a fragment comes: strangers would
    decide how much is written, and it is worth a second at most."""
    GATEWAY = 7
    """What does not belong to the engine but to the gateway around it, by a name."""


Key: TypeAlias = tuple[int, int | str]
"""A kind, and a key of this kind."""


class Record(NamedTuple):
    """One thing of a state as plain values."""

    kind: int
    key: int | str
    row: object
    """None: the thing is gone."""


def read_record(values: object) -> Record:
    """Return the record with these values. Raises ValueError if they are none; any row is a row."""
    if isinstance(values, list | tuple) and len(values) == len(Record._fields):
        kind, key, row = values
        if isinstance(kind, int) and isinstance(key, int | str):
            return Record(kind, key, row)
    raise ValueError(f"{values!r:.40} is not a record")


class Changes:
    """Things that have changed."""

    __slots__ = (
        "flows",
        "is_dependent",
        "is_kept",
        "mappings",
        "others",
        "refreshed_from",
        "rest",
    )

    def __init__(self) -> None:
        self.is_kept = False
        """Whether there is a store."""
        self.flows: set[int] = set()
        self.mappings: set[int] = set()
        self.others: set[Key] = set()
        self.rest = False
        self.is_dependent = False
        """Whether a packet depends on a change: if the packet left and the change were lost, the connection
        could not go on. So the change must be written before."""
        self.refreshed_from = -inf
        """The next round of `Engine.refresh` looks for what was seen from this moment on. A fast path reports later what it has
        forwarded, and of a flow that was seen before this moment, so its report is a change."""

    def flow(self, number: int) -> None:
        if self.is_kept:
            self.flows.add(number)

    def reported(self, number: int, seen: float) -> None:
        """Mark a flow of which a fast path has reported something, unless a refresh will notice that it was seen then."""
        if seen < self.refreshed_from:
            self.flow(number)

    def inspected(self, number: int) -> None:
        """Mark a flow that an inspector has handled, on which the packets that leave depend."""
        if self.is_kept:
            self.flows.add(number)
            self.is_dependent = True

    def mapping(self, number: int) -> None:
        if self.is_kept:
            self.mappings.add(number)

    def other(self, kind: Kind, key: int | str) -> None:
        if self.is_kept:
            self.others.add((kind, key))

    def all_small(self) -> None:
        """Mark what has no record of its own."""
        self.rest = self.is_kept

    def is_empty(self) -> bool:
        return not (self.flows or self.mappings or self.others or self.rest)

    def clear(self) -> None:
        self.flows, self.mappings, self.others = set(), set(), set()
        self.rest = self.is_dependent = False
