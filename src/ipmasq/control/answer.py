"""What an answer is while it is being made: rows one by one, so that none is ever long in the making."""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import Enum
from typing import NamedTuple, TypeAlias

from ipmasq.control.protocol import Row


class Pause(Enum):
    """An answer has no row now."""

    LOOKED = 0
    """Something was looked at and is not wanted (a filter): work, but nothing to send."""
    WAITING = 1
    """Nothing to do until something happens; see `Server.wake`."""


Answer: TypeAlias = Generator[Row | Pause, None, Row | None]
"""Yields rows and pauses, returns what `done` says (None: how many rows there were); raises RequestError. Each step is short."""

Rows: TypeAlias = Generator[Row | Pause, None, None]
"""An answer of rows alone; `done` says how many there were."""


class Peer(NamedTuple):
    """Who asks, as the kernel says (SO_PEERCRED)."""

    process: int
    user: int
    group: int


Answerer: TypeAlias = Callable[[str, dict[str, object], Peer], Answer]
"""Begins to answer a request, by name, with its arguments. Raises RequestError, or the generator does."""
