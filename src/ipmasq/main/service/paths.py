"""Where the service's program is, and whether the service can use it from there."""

from __future__ import annotations

import stat
import sys
from collections.abc import Collection, Iterable, Iterator
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


def unusable(paths: Iterable[Path], hidden: Collection[Path] = HIDDEN) -> str | None:
    """Return a sentence that says why another user cannot use one of these files; None if it can use all."""
    for path in paths:
        if not path.exists():
            return f"there is no {path}"
        real = path.resolve()
        above = (*path.parents, *real.parents)
        if found := next((each for each in above if each in hidden), None):
            return f"{path} is below {found}, which is hidden from services"
        unread = f"{path} cannot be read by the user of the service"
        if found := next((each for each in above if not _lets(each, stat.S_IXOTH)), None):
            return f"{unread}: {found} is closed to others"
        if not _lets(real, stat.S_IROTH):
            return unread
    return None


def _lets(path: Path, right: int) -> bool:
    return bool(path.stat().st_mode & right)
