"""The clock. The gateway measures time without it; only the times in its logs come from it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

INSTALLED = Path(__file__)
"""No earlier time can be right."""

TIME_ERROR = 5
"""What adjtimex(2) returns of a clock that nothing synchronises."""
LONGEST = 512
"""Bytes for its `struct timex`, of which none is set: that asks, and changes nothing."""

FIX = "timedatectl set-ntp true, or start chrony or ntpd"


def find(host: Host) -> Iterator[Finding]:
    now, earliest = time.time(), INSTALLED.stat().st_mtime
    if now < earliest:
        yield Finding(
            "clock",
            f"it is {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC by this host's clock,"
            " before ipmasq was installed",
            "lines of the log have wrong times; nothing else depends on it",
            FIX,
            is_hint=True,
        )
    elif host.loaded.config.translation_log.is_wanted and not is_synchronised():
        yield Finding(
            "clock",
            "nothing synchronises this host's clock",
            "the translation log may have other times than the logs of those who ask about a connection",
            FIX,
            is_hint=True,
        )


def is_synchronised() -> bool:
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(LONGEST))
    return state != TIME_ERROR
