"""Finds the processes in a namespace, and ends them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL, in which a gateway removes its routes."""

NETNS = Path("/run/netns")


def living_in(namespaces: Iterable[str]) -> dict[str, list[int]]:
    """Return process ids by namespace, without this process itself."""
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
    """End every process in the namespaces and return how many there were."""
    names = list(namespaces)
    first = _signal(names, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while living_in(names):
        if time.monotonic() > deadline:
            _signal(names, signal.SIGKILL)
        time.sleep(0.02)
    return first


def command_line(pid: int) -> str:
    """Return the command line without directories; empty if the process is gone."""
    with suppress(OSError):
        raw = Path("/proc", str(pid), "cmdline").read_bytes()
        words = raw.decode(errors="replace").rstrip("\0").split("\0")
        return " ".join(Path(word).name if "/" in word else word for word in words)
    return ""


def first_of(pids: Iterable[int]) -> list[int]:
    """Return those of these processes that none of the others has started."""
    known = set(pids)
    return [pid for pid in sorted(known) if _parent(pid) not in known]


def _parent(pid: int) -> int | None:
    """Return the process that has started this one (proc(5)); None if this one is gone."""
    with suppress(OSError):
        return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])
    return None


def _signal(namespaces: list[str], number: signal.Signals) -> int:
    pids = [pid for each in living_in(namespaces).values() for pid in each]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return len(pids)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what identifies a namespace (namespaces(7)); None if it is gone or is no namespace."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
