"""Many rows of one fixed size, one after the other, with the number of each.

A million of them are read within seconds only if Python takes no step for each. So whatever concerns all rows is done
by columns: a slice with a stride is the bytes that all rows have at one place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, compress

AT_ONCE = 256
"""Rows that are cut by one format, which takes a fourth of the time."""


@dataclass(frozen=True, slots=True)
class Rows:
    numbers: Sequence[int]
    data: bytes
    size: int
    """Bytes of a row."""

    @classmethod
    def of(cls, rows: Mapping[int, bytes], size: int) -> Rows:
        return cls(tuple(rows), b"".join(rows.values()), size)

    @property
    def is_sound(self) -> bool:
        """Whether each number has one row. Otherwise nothing else may be asked."""
        return len(self.data) == self.size * len(self.numbers) and self.are_unique

    @property
    def are_unique(self) -> bool:
        """Whether no two rows have the same number."""
        return len(set(self.numbers)) == len(self.numbers)

    @property
    def is_ascending(self) -> bool:
        """Whether the rows are in the order of their numbers."""
        return list(self.numbers) == sorted(self.numbers)

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Return the rows of all parts, which are of the same size."""
        if len(parts) == 1:
            return parts[0]
        numbers = tuple(chain.from_iterable(part.numbers for part in parts))
        return cls(numbers, b"".join(part.data for part in parts), parts[0].size)

    def each(self) -> tuple[bytes, ...]:
        return self.slices(0, self.size)

    def slices(self, at: int, length: int) -> tuple[bytes, ...]:
        """Return the bytes of each row at a place."""
        return _cut(self.data, f"{at}x{length}s{self.size - at - length}x")

    def column(self, at: int) -> bytes:
        """Return the byte of each row at a place."""
        return self.data[at :: self.size]

    def gathered(self, positions: Iterable[int]) -> tuple[bytes, ...]:
        """Return the bytes of each row at these positions."""
        return woven([self.column(at) for at in positions])

    def only(self, chosen: Sequence[object]) -> Rows:
        """Return the rows whose element in `chosen` is true."""
        if all(chosen):
            return self
        rows = b"".join(compress(self.each(), chosen))
        return Rows(tuple(compress(self.numbers, chosen)), rows, self.size)

    def grouped(self, kinds: Sequence[int]) -> Iterator[tuple[int, Rows]]:
        """Yield the rows of each kind, with the kind. `kinds`: that of each row."""
        if len(set(kinds)) == 1:
            yield kinds[0], self
            return
        groups: dict[int, dict[int, bytes]] = {}
        for kind, number, row in zip(kinds, self.numbers, self.each(), strict=True):
            groups.setdefault(kind, {})[number] = row
        for kind, rows in groups.items():
            yield kind, Rows.of(rows, self.size)


def woven(columns: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the first bytes of all columns, the second ones, and so on."""
    width = len(columns)
    data = bytearray(width * len(columns[0]))
    for at, column in enumerate(columns):
        data[at::width] = column
    return _cut(data, f"{width}s")


@cache
def having(bit: int) -> bytes:
    """Return a table for `bytes.translate` that maps bytes with this bit to 1, and others to 0."""
    return bytes(int(each & bit != 0) for each in range(256))


def _cut(data: bytes | bytearray, row: str) -> tuple[bytes, ...]:
    """Return what a format finds in each row."""
    many = _many(row)
    end = len(data) - len(data) % many.size
    parts: list[Iterable[bytes]] = [many.unpack_from(data, at) for at in range(0, end, many.size)]
    if end < len(data):
        parts.append(chain.from_iterable(struct.iter_unpack(row, data[end:])))
    return tuple(chain.from_iterable(parts)) if len(parts) > 1 else tuple(*parts)


@cache
def _many(row: str) -> struct.Struct:
    return struct.Struct(row * AT_ONCE)
