"""Where the service's program is, and whether the service can use it from there."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import ipmasq

HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))
"""Directories that the unit hides from the service (systemd.exec(5), ProtectHome= and PrivateTmp=)."""


def program() -> Path:
    """Return the command `ipmasq` of this installation."""
    return Path(sys.executable).with_name("ipmasq")


def needed() -> Iterator[Path]:
    """Yield what the service has to read: the command, its interpreter, and the package."""
    yield program()
    yield Path(sys.executable)
    yield Path(ipmasq.__file__)


def unusable(paths: Iterable[Path], hidden: Iterable[Path] = HIDDEN) -> str | None:
    """Return a sentence that says why another user cannot use one of these files; None if it can use all."""
    hidden = tuple(hidden)
    for path in paths:
        if not path.exists():
            return f"there is no {path}"
        real = path.resolve()
        for above in (*path.parents, *real.parents):
            if above in hidden:
                return f"{path} is below {above}, which is hidden from services"
            if not above.stat().st_mode & stat.S_IXOTH:
                return (
                    f"{path} cannot be read by the user of the service: {above} is closed to others"
                )
        if not real.stat().st_mode & stat.S_IROTH:
            return f"{path} cannot be read by the user of the service"
    return None
