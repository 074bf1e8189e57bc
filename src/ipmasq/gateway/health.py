"""What went wrong since the start, and what is wrong now, as numbers."""

from __future__ import annotations

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
    reloads: int
    reloads_refused: int
    last_reload_refused: bool
