"""The clock. The gateway measures time without it; only the times in its log come from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

INSTALLED = Path(__file__)
"""No earlier time can be right."""


def find(host: Host) -> Iterator[Finding]:
    now, earliest = time.time(), INSTALLED.stat().st_mtime
    if now < earliest:
        yield Finding(
            "clock",
            f"it is {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC by this host's clock,"
            " before ipmasq was installed",
            "lines of the log have wrong times; nothing else depends on it",
            "timedatectl set-ntp true",
        )
