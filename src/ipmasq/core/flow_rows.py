"""Rows of plain flows by their numbers.

Rows that come together in the order of their numbers, as in a snapshot, stay as they have come, in one block: to have an
object for each takes as long as all else that is done with them. A row of a block is found by bisection.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, islice

from ipmasq.core.compact import FLOW
from ipmasq.core.rows import Rows

SIZE = FLOW.size

LEAST = 256
"""Rows of the smallest block."""

ENOUGH_LEFT = 4
"""A block of which not even one in so many rows is left is dissolved."""


class _Block:
    __slots__ = ("data", "left", "moments", "numbers", "present")

    def __init__(self, rows: Rows, moments: Iterable[float]) -> None:
        self.numbers = rows.numbers
        self.data = bytearray(rows.data)
        self.moments = array("d", moments)
        self.present = bytearray(b"\1") * len(rows.numbers)
        self.left = len(rows.numbers)

    def find(self, number: int) -> int | None:
        at = bisect_left(self.numbers, number)
        found = at < len(self.numbers) and self.numbers[at] == number and self.present[at]
        return at if found else None

    def row(self, at: int) -> bytes:
        return bytes(self.data[at * SIZE : at * SIZE + SIZE])

    def some(self, at: int, count: int) -> bytes:
        """Return those of some rows that are still here."""
        data = bytes(self.data[at * SIZE : (at + count) * SIZE])
        present = self.present[at : at + count]
        return Rows(self.numbers[at : at + count], data, SIZE).only(present).data

    def protocols(self) -> set[int]:
        """Return the protocols of its rows, also of those that have gone."""
        found, rest = set[int](), bytes(self.data[::SIZE])
        while rest:  # faster than to look at each, since there are few, and mostly one
            found.add(rest[0])
            rest = rest.strip(rest[:1]).replace(rest[:1], b"")
        return found

    @property
    def last(self) -> int:
        """The highest number of its rows."""
        return self.numbers[self.present.rindex(1)]

    def __iter__(self) -> Iterator[tuple[int, bytes, float]]:
        each = Rows(self.numbers, bytes(self.data), SIZE).each()
        return compress(zip(self.numbers, each, self.moments, strict=True), self.present)


class FlowRows:
    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        """In the order of their numbers, which do not overlap."""
        self._firsts: list[int] = []
        """The first number of each block."""
        self._last = -1
        """The last number of the last block."""
        self._in_blocks = 0
        self._rows: dict[int, bytes] = {}
        """Those that are in no block."""
        self._moments: dict[int, float] = {}
        self.latest = 0.0
        """When the latest row was written, also of those that have gone; 0 if there was none."""

    def __len__(self) -> int:
        return self._in_blocks + len(self._rows)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the numbers."""
        for block in self._blocks:
            yield from compress(block.numbers, block.present)
        yield from self._rows

    def __contains__(self, number: int) -> bool:
        return number in self._rows or self._find(number) is not None

    def each(self) -> Iterator[tuple[int, bytes, float]]:
        """Yield the rows with their numbers, and the moments when they were written."""
        for block in self._blocks:
            yield from block
        for number, row in self._rows.items():
            yield number, row, self._moments[number]

    def some(self, count: int) -> Iterator[bytes]:
        """Yield the rows, so many at a time, one after the other. Rows may go meanwhile: those that have gone are left out, and
        others may come twice."""
        for block in list(self._blocks):
            for at in range(0, len(block.numbers), count):
                yield block.some(at, count)
        numbers = iter(list(self._rows))
        while some := list(islice(numbers, count)):
            yield b"".join(filter(None, map(self._rows.get, some)))

    def last(self) -> int:
        """Return the highest number; 0 if there is none."""
        in_blocks = self._blocks[-1].last if self._blocks else 0
        return max(in_blocks, max(self._rows, default=0))

    def protocols(self) -> set[int]:
        """Return the protocols of the rows, and perhaps of some that have gone."""
        found = {row[0] for row in self._rows.values()}
        return found.union(*(block.protocols() for block in self._blocks))

    def get(self, number: int) -> bytes | None:
        """Return the row of a flow, if there is one."""
        row = self._rows.get(number)
        if row is None and (found := self._find(number)):
            block, at = found
            return block.row(at)
        return row

    def pop(self, number: int) -> tuple[bytes, float] | None:
        """Remove a row. Return it, and when it was written."""
        row = self._rows.pop(number, None)
        if row is not None:
            return row, self._moments.pop(number)
        found = self._find(number)
        if found is None:
            return None
        block, at = found
        row, moment = block.row(at), block.moments[at]
        block.present[at] = 0
        block.left -= 1
        self._in_blocks -= 1
        if block.left * ENOUGH_LEFT < len(block.numbers):
            self._dissolve(block)
        return row, moment

    def has_any(self, numbers: Sequence[int]) -> bool:
        """Return whether there is one of these numbers."""
        if not self._rows.keys().isdisjoint(numbers):
            return True
        return bool(numbers) and min(numbers) <= self._last and any(map(self._find, numbers))

    def add(self, rows: Rows, moments: Sequence[float]) -> None:
        """Add rows of other flows, with the moments when they were written."""
        numbers = rows.numbers
        self.latest = max(self.latest, max(moments, default=0.0))
        if len(numbers) < LEAST or numbers[0] <= self._last or not rows.is_ascending:
            self._rows.update(zip(numbers, rows.each(), strict=True))
            self._moments.update(zip(numbers, moments, strict=True))
            return
        self._blocks.append(_Block(rows, moments))
        self._firsts.append(numbers[0])
        self._last = numbers[-1]
        self._in_blocks += len(numbers)

    def replace(self, number: int, row: bytes, moment: float) -> None:
        """Let another row take the place of that of a flow."""
        self.latest, found = max(self.latest, moment), self._find(number)
        if found is None:
            self._rows[number], self._moments[number] = row, moment
            return
        block, at = found
        block.data[at * SIZE : at * SIZE + SIZE] = row
        block.moments[at] = moment

    def _find(self, number: int) -> tuple[_Block, int] | None:
        """Return where a row is in a block."""
        if not 0 <= number <= self._last:
            return None
        index = bisect_right(self._firsts, number) - 1
        if index < 0:
            return None
        block = self._blocks[index]
        at = block.find(number)
        return None if at is None else (block, at)

    def _dissolve(self, block: _Block) -> None:
        """Keep what is left of a block without it."""
        for number, row, moment in block:
            self._rows[number], self._moments[number] = row, moment
        self._in_blocks -= block.left
        block.present = bytearray(len(block.present))
        index = self._blocks.index(block)
        del self._blocks[index], self._firsts[index]
        self._last = self._blocks[-1].numbers[-1] if self._blocks else -1
