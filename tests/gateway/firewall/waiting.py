"""Answers that wait, while the loop goes on."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from ipmasq.gateway.loop import Loop

T = TypeVar("T")


def answered(loop: Loop, waiting: Generator[None, None, T], seconds: float = 60.0) -> T:
    """What is returned at last; the loop turns meanwhile."""
    until = loop.clock() + seconds
    while loop.clock() < until:
        try:
            next(waiting)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        loop.later(0.005, lambda: None)
        loop.round()
    raise TimeoutError
