"""Where the record of a gateway's changes to the host is. This module needs no library, so that a command can look."""

from __future__ import annotations

import os
from pathlib import Path

DIRECTORY = Path("/run/ipmasq")

STARTED = ".start"
"""The suffix of the file beside it that says how the gateway was started."""


def record_in(directory: Path = DIRECTORY) -> Path:
    """Return the record of changes in this network namespace."""
    return directory / f"tun-{os.stat('/proc/self/ns/net').st_ino}.json"
