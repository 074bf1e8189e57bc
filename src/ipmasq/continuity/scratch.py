"""Temporary directories that are removed even after a crash."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX, SUFFIX = "ipmasq-", ".scratch"

YOUNG = 60.0
"""Seconds; a younger directory may not be locked yet by the process that has made it."""


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """Make a directory of this user alone in `parent` (default: the usual one for temporary files), and remove it at the end,
    and before it those that killed processes have left there. It is locked as long as this process lives (flock(2)). Raises OSError.
    """
    sweep(parent)
    with tempfile.TemporaryDirectory(prefix=PREFIX, suffix=SUFFIX, dir=parent) as name:
        lock = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield Path(name)
        finally:
            os.close(lock)


def sweep(parent: Path | None = None) -> None:
    """Remove directories that processes of this user have left behind, which were killed."""
    directory = parent or Path(tempfile.gettempdir())
    if _is_of_others(directory.stat()):
        return
    for each in directory.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            if _is_abandoned(each):
                shutil.rmtree(each)


def _is_of_others(directory: os.stat_result) -> bool:
    """Return whether others could give a directory of this user such a name here."""
    is_foreign = directory.st_uid not in (0, os.geteuid())
    is_shared = bool(directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return is_foreign or (is_shared and not directory.st_mode & stat.S_ISVTX)


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
