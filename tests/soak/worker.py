"""What every worker has in common: it works until SIGTERM, counts, and says as JSON what came of it.

A worker is a process on a host of the lab. One attempt is bounded in time by whoever makes it, so that
every worker ends soon after it was asked to.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

PATIENCE = 20.0
"""Seconds that any wait for the other end may take."""

MOST_TOLD = 20
"""Wrong results that are told in full."""


@dataclass
class Tally:
    completed: int = 0
    bytes: int = 0
    """In completed attempts."""
    failed: Counter[str] = field(default_factory=Counter)
    """Attempts that were given up, by reason: nothing was announced, nothing was lost."""
    wrong: list[str] = field(default_factory=list)
    """Attempts that seemed complete, and were not or carried other bytes."""

    def complete(self, size: int) -> None:
        self.completed += 1
        self.bytes += size

    def complain(self, text: str) -> None:
        if len(self.wrong) < MOST_TOLD:
            self.wrong.append(text)


class Worker:
    """`chance` is seeded; `tally` is told when `run` returns."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.tally = Tally()
        self.ends = False
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self.ends = True

    def run(self, attempt: Callable[[], None], pause: float) -> None:
        """`attempt` again and again, with about `pause` seconds in between."""
        while not self.ends:
            try:
                attempt()
            except (OSError, EOFError) as error:
                self.fail(error)
            time.sleep(self.chance.uniform(0, 2 * pause))
        print(json.dumps(vars(self.tally)), flush=True)

    def fail(self, error: BaseException, what: str = "") -> None:
        """An attempt was given up; `what` it was. When and where is told on standard error."""
        where = _where(error)
        self.tally.failed[f"{type(error).__name__}: {error} ({where})"[:120]] += 1
        print(f"{time.time():.3f} {what} {error!r} {where}", file=sys.stderr, flush=True)


def _where(error: BaseException) -> str:
    """The functions in which it was raised, as far as Python knows."""
    frames = traceback.extract_tb(error.__traceback__)
    return " > ".join(frame.name for frame in frames[1:])
