"""What went wrong since the start, and what is wrong now, as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Health(NamedTuple):
    plane: str
    uptime: float
    """Seconds since the start."""
    unsent: int
    """Packets that the kernel did not accept."""
    failures: int
    """Internal errors after which the gateway continued."""
    lines_left_out: int
    """Lines that the log left out."""
    settings_restored: int
    settings_wrong: int
    """Settings that cannot be restored."""
    obstructions: int
    """Obstructions found in the host's firewall now."""


class Reloads:
    """Reloads of the configuration, counted."""

    def __init__(self) -> None:
        self.applied = self.refused = 0
        self.last_refused = False
        self.barred = ""
        """Why none is possible now; empty if one is."""
        self.is_due = False
        """Whether one was asked for by a signal meanwhile."""
        self.callbacks: list[Callable[[], object]] = []
        """Called after each reload, also after one that was refused."""

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a reload, which is refused if it raises."""
        self.last_refused = True
        try:
            yield
            self.last_refused = False
        finally:
            self.refused += self.last_refused
            self.applied += not self.last_refused
            for callback in self.callbacks:
                callback()
