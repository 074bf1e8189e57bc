"""An answer while it is being produced: row by row, so that no step takes long."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from enum import Enum
from typing import NamedTuple, TypeAlias, TypeVar

from ipmasq.control.protocol import Row

T = TypeVar("T")


class Pause(Enum):
    """The answer has no row now."""

    LOOKED = 0
    """An object was examined and filtered out: work, but nothing to send."""
    WAITING = 1
    """There is nothing to do until an event happens; see `Server.wake`."""
    TICK = 2
    """There is nothing to do for a moment (`server.TICK`), and until the client has read all that it was sent: a slow
    client gets the latest state next, not all that it has missed."""


Answer: TypeAlias = Generator[Row | Pause, None, Row | None]
"""Yields rows and pauses, and returns what `done` says (None: the number of rows); raises RequestError. Each
step is short."""

Rows: TypeAlias = Generator[Row | Pause, None, None]
"""An answer that consists of rows; `done` says how many."""


def ticks(waiting: Generator[None, None, T]) -> Generator[Pause, None, T]:
    """Look at each tick whether what is waited for is known, and return it."""
    with closing(waiting):
        while True:
            try:
                next(waiting)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            yield Pause.TICK


class Peer(NamedTuple):
    """The client, as the kernel identifies it (SO_PEERCRED)."""

    process: int
    user: int
    group: int


Answerer: TypeAlias = Callable[[str, dict[str, object], Peer], Answer]
"""Begins to answer a request, given its name, its arguments and the client. Raises RequestError, or the
generator does."""
