"""A fuzzer's bytes as choices."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import TypeVar

Value = TypeVar("Value")


class Choices:
    """`choices(n)` is an integer of 0..n-1; zeros when the bytes have run out.

    It has the methods of `random.Random` that the models of the tests use, so that it can stand in for one.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def __call__(self, n: int) -> int:
        if n <= 256:
            at = self.at
            self.at = at + 1
            return self.data[at] % n if at < len(self.data) else 0
        size = ((n - 1).bit_length() + 7) // 8
        return int.from_bytes(self.bytes(size), "big") % n

    def bytes(self, count: int) -> bytes:
        """The next `count` bytes themselves; fewer at the end."""
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def pick(self, values: Sequence[Value]) -> Value:
        return values[self(len(values))]

    # -- as random.Random

    def random(self) -> float:
        return self(256) / 256

    def randint(self, low: int, high: int) -> int:
        return low + self(high - low + 1)

    def randrange(self, n: int) -> int:
        return self(n)

    def sample(self, values: Sequence[Value], count: int) -> list[Value]:
        rest: MutableSequence[Value] = list(values)
        return [rest.pop(self(len(rest))) for _ in range(count)]
