"""Numbers by key, such as flows by host, of which those near a limit are known at any time.

Whoever shows them must not walk through all hosts, of which there can be a million.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

PARTS = (80, 95)
"""Percentages of a limit at which to warn."""

SMALLEST = 20
"""Limits smaller than this cause no warning."""

K = TypeVar("K", bound=Hashable)


@lru_cache(64)
def marks(most: int) -> frozenset[int]:
    """Return the numbers at which to warn."""
    return frozenset(-(-most * part // 100) for part in PARTS) if most >= SMALLEST else frozenset()


def near_from(most: int) -> int:
    """Return from which number on a limit is near: four fifths, as for warnings; of a small one, all of it."""
    return min(marks(most), default=most)


class Counts(dict[K, int]):
    """Keys without any have no entry. To be changed by `change` only."""

    def __init__(self, most: int) -> None:
        """`most` is the limit of each key."""
        super().__init__()
        self._near_from = near_from(most)
        self._near: dict[int, dict[K, None]] = {}
        """The keys that are near the limit, by their numbers."""

    def change(self, key: K, more: int) -> None:
        """Add `more`, which may be negative."""
        before = self.get(key, 0)
        now = before + more
        if now:
            self[key] = now
        else:
            del self[key]
        if before >= self._near_from:
            self._leave(before, key)
        if now >= self._near_from:
            self._near.setdefault(now, {})[key] = None

    def change_all(self, more: Mapping[K, int]) -> None:
        """Add so many of each key. All at once are faster than one by one."""
        if self:
            for key, number in more.items():
                if number:
                    self.change(key, number)
        else:
            self.update((key, number) for key, number in more.items() if number)
            self._near = self._examined()

    def limit(self, most: int) -> None:
        """Take another limit. This examines all keys, unless it is the limit already."""
        if near_from(most) != self._near_from:
            self._near_from = near_from(most)
            self._near = self._examined()

    def near(self) -> Iterator[tuple[K, int]]:
        """Yield the keys that are near the limit, and their numbers: those with most first."""
        for number in sorted(self._near, reverse=True):
            for key in self._near[number]:
                yield key, number

    def check(self) -> None:
        """Raise AssertionError unless those near the limit are what all keys say."""
        assert self._near == self._examined()

    def _leave(self, number: int, key: K) -> None:
        keys = self._near[number]
        del keys[key]
        if not keys:
            del self._near[number]

    def _examined(self) -> dict[int, dict[K, None]]:
        near: dict[int, dict[K, None]] = {}
        for key, number in self.items():
            if number >= self._near_from:
                near.setdefault(number, {})[key] = None
        return near
