"""What a gateway's process takes, as the kernel and it itself say, every few seconds."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.soak.stage import Running

EVERY = 2.0
"""Seconds between two samples."""

CHECK_EVERY = 15
"""Samples between two recounts of the engine's invariants, which hold packets up."""


@dataclass(frozen=True)
class Sample:
    at: float
    """Seconds since the load began."""
    anonymous: int
    """kB of memory that are the process's own."""
    pss: int
    opened: Counter[str]
    """What is open, by kind, as `kind_of` names it."""
    facts: dict[str, Any]

    @property
    def descriptors(self) -> int:
        return self.opened.total()


class Sampler:
    def __init__(self, running: Running) -> None:
        self._running = running
        self._started = time.monotonic()
        self.taken: list[Sample] = []
        self.violated: list[str] = []

    def take(self, checked: bool = False) -> Sample:
        """Raises RuntimeError if the gateway does not answer."""
        facts = self._running.facts(checked)
        process = Path("/proc", str(self._running.pid))
        memory = _rollup(process / "smaps_rollup")
        opened = Counter(kind_of(each) for each in (process / "fd").iterdir())
        at = time.monotonic() - self._started
        sample = Sample(at, memory["Anonymous"], memory["Pss"], opened, facts)
        self.taken.append(sample)
        if facts.get("invariants", "exact") != "exact":
            self.violated.append(f"after {at:.0f} s: {facts['invariants']}")
        return sample


def kind_of(descriptor: Path) -> str:
    """What an entry of /proc/PID/fd is: a path, a kind of the kernel's ("anon_inode:bpf-map"), or a socket with its
    protocol ("socket NETLINK")."""
    try:
        target = re.sub(r":\[\d+\]$", "", os.readlink(descriptor))
        if target == "socket":
            protocol = os.getxattr(descriptor, "system.sockprotoname")
            return f"socket {protocol.rstrip(bytes(1)).decode()}"
    except FileNotFoundError:
        return "closed meanwhile"
    return target


def _rollup(path: Path) -> dict[str, int]:
    """kB by name."""
    rows = (line.split() for line in path.read_text().splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) for row in rows}
