"""Lines of the log that strangers can cause: one of each kind in a while, with the number of those left out."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

PAUSE = 60.0
"""Seconds from one line of a kind to the next."""

LOGGERS = ("uvicorn.error", "asyncio", "ipmasq.web")


class Seldom(logging.Filter):
    """Lines are of one kind if they differ in their arguments only. What the system refuses is told without a
    traceback: which line of the program has asked for it tells an operator nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, float] = {}
        """When the latest line of each kind was written. There are as many kinds as messages in the programs."""
        self._left_out: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = str(record.msg).partition("\n")[0], self._clock()
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OSError):
            record.msg, record.args, record.exc_info = f"{kind}: {error.strerror}", (), None
        if now - self._told.get(kind, -PAUSE) < PAUSE:
            self._left_out[kind] += 1
            return False
        self._told[kind] = now
        if count := self._left_out.pop(kind, 0):
            record.msg = f"{record.msg} (and {count} more since the last such line)"
        return True


def quieten() -> None:
    """Let the server's lines be few, and leave out those that tell a client's mistakes."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, Seldom) for each in logger.filters):
            logger.addFilter(Seldom())
