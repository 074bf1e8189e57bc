"""How long a live test waits for what must come."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 5.0


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold while our patience lasts."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
