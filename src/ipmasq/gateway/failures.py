"""Reports internal errors in one line each, at a limited rate."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from ipmasq.gateway.throttle import WINDOW, Throttle

log = logging.getLogger("ipmasq")

SHORTEST, LONGEST = 0.001, 1.0
"""The least and the most seconds of a pause."""


class FailureLog:
    """Writes one line per kind (what was raised, and where) and minute, with the number of those left out."""

    def __init__(self) -> None:
        self._throttle = Throttle(most=1)
        self.count = 0
        """Errors since the start."""

    def report(self, error: Exception, now: float) -> None:
        self.look(now)
        self.count += 1
        location = _location(error)
        said = f"a part of the gateway failed, and it goes on: {_said(error)} ({location})"
        if self._throttle.admits((type(error), location), said, now):
            # The traceback is for JSON and --debug: see `logs`.
            log.error("%s", said, exc_info=error)

    def look(self, now: float) -> None:
        """Sum up lines that were left out; called periodically."""
        for _, example, left_out in self._throttle.closed(now):
            log.error("%d more in the last %d s like: %s", left_out, WINDOW, example)


class Pause:
    """How long something that has failed is suspended: twice as long each time, up to a second."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def longer(self) -> float:
        self._seconds = min(LONGEST, max(SHORTEST, 2 * self._seconds))
        return self._seconds

    def over(self) -> None:
        """End the series of failures."""
        self._seconds = 0.0


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _location(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "no trace"
