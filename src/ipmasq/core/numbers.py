"""The numbers of all flows, for whoever walks through them in steps."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

FEW = 1000


class Numbers:
    """Copying a large table takes long: 25 ms per million flows. So one copy serves all walks until about as many flows
    were opened since as there are."""

    def __init__(self) -> None:
        self._copied = array("Q")
        self._newest: int | None = None
        """The number of the latest flow when they were copied."""

    def walk(self, copy: Callable[[], Sequence[int]], count: int, newest: int) -> Iterator[int]:
        """Yield in their order the numbers of all flows, and of some that have ended. `copy` returns those of all flows,
        of which there are `count`; `newest` is that of the latest."""
        if self._newest is None or newest - self._newest > max(FEW, count):
            self._copied, self._newest = array("Q", copy()), newest
        return chain(self._copied, range(self._newest + 1, newest + 1))
