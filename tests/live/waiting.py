"""How long a live test waits for what must come."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 5.0
"""Seconds for one answer."""

BUSY = 30.0
"""Seconds after which something has happened on a busy machine, too."""


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold."""
    deadline = time.monotonic() + BUSY
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
