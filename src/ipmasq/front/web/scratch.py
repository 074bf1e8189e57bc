"""Directories for files that are needed for a moment, and none is left behind, also after a crash."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "ipmasq-replay-"

YOUNG = 60.0
"""Seconds; a younger directory may not be locked yet by the process that has made it."""


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a directory, and remove it at the end. It is locked as long as this process lives (flock(2))."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        lock = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield Path(name)
        finally:
            os.close(lock)


def sweep() -> None:
    """Remove directories that processes of this user have left behind, which were killed."""
    for each in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if _is_abandoned(each):
                shutil.rmtree(each)


def _is_abandoned(directory: Path) -> bool:
    """Raises OSError, also if its process lives."""
    found = directory.lstat()
    if found.st_uid != os.geteuid() or time.time() - found.st_mtime < YOUNG:
        return False
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(lock)
    return True
