"""The memory that this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")

# By hierarchy: version 2 has one, version 1 has one per controller (cgroups(7)).
LIMITS = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}


def available(own: Path = OWN, root: Path = CGROUPS) -> int:
    """Return the bytes that the machine has, or that the control groups above this process allow."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(own, root)])


def _limits(own: Path, root: Path) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                if controller in LIMITS:
                    folder, file = LIMITS[controller]
                    group = Path(path.lstrip("/"))
                    for each in (group, *group.parents):
                        with suppress(OSError, ValueError):  # there is no limit, or it is "max"
                            found.append(int((root / folder / each / file).read_text()))
    return found
