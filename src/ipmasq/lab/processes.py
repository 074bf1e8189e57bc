"""Which processes live in a namespace, and how they are asked to leave it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GRACE = 3.0
"""Seconds between the polite signal and the other one: a gateway undoes its routes meanwhile."""

NETNS = Path("/run/netns")


def living_in(namespaces: Iterable[str]) -> dict[str, list[int]]:
    """Process ids by namespace; this process itself is never among them."""
    names = {_identity(NETNS / name): name for name in namespaces}
    names.pop(None, None)
    found: dict[str, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            name = names.get(_identity(entry / "ns" / "net"))
            if name is not None:
                found.setdefault(name, []).append(int(entry.name))
    return found


def evict(namespaces: Iterable[str], grace: float = GRACE) -> int:
    """End every process in the namespaces; returns how many there were."""
    names = list(namespaces)
    first = _signal(names, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while living_in(names):
        if time.monotonic() > deadline:
            _signal(names, signal.SIGKILL)
        time.sleep(0.02)
    return first


def command_line(pid: int) -> str:
    """What it was started as, without directories; empty if it is gone."""
    with suppress(OSError):
        raw = Path("/proc", str(pid), "cmdline").read_bytes()
        words = raw.decode(errors="replace").rstrip("\0").split("\0")
        return " ".join(Path(word).name if "/" in word else word for word in words)
    return ""


def _signal(namespaces: list[str], number: signal.Signals) -> int:
    pids = [pid for each in living_in(namespaces).values() for pid in each]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return len(pids)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells one namespace from another (namespaces(7)); None if it is gone or not one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
