"""A consistent copy of a store that a gateway may be writing at this moment.

A running gateway has its SQLite file for itself, so the copy is made of the files as they are: what has not been moved
into the file yet is in the WAL beside it. Pages that were moved while the file was copied are in the copy of the WAL,
too, unless the WAL was begun anew meanwhile, which its header says. Then the copy is made once more. A WAL that ends in the
middle of a commit is as it would be after a crash at this moment, and SQLite ignores that commit.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ipmasq.continuity.store import StoreError

HEADER = 32
"""Bytes of the header of a WAL. Its salts are others whenever the WAL is begun anew
(https://www.sqlite.org/fileformat2.html#walformat)."""

ATTEMPTS, PAUSE = 20, 0.05
"""How often a copy is begun, and seconds between two attempts."""

Check = Callable[[Path, os.stat_result], object]


def copy(source: Path, target: Path, check: Check = lambda path, found: None) -> None:
    """Copy the files of a store to `target`, which has to be in a directory of this process alone. `check` is called with what each file
    is, once it is open, and raises what speaks against it. Raises OSError, StoreError."""
    for _ in range(ATTEMPTS):
        if _copied(source, target, check):
            return
        time.sleep(PAUSE)
    raise StoreError(f"{source} is written faster than it can be copied; try again")


def _copied(source: Path, target: Path, check: Check) -> bool:
    """Make a copy, and return whether it is consistent."""
    wal = Path(f"{source}-wal")
    with _opened(source, check) as file:
        before = _header(wal)
        _write(file, target)
        try:
            with _opened(wal, check) as rest:
                _write(rest, Path(f"{target}-wal"))
        except FileNotFoundError:
            Path(f"{target}-wal").unlink(missing_ok=True)
        return _header(wal) == before and _is_still(source, file)


@contextmanager
def _opened(path: Path, check: Check) -> Iterator[BinaryIO]:
    """Open a file for reading, but neither a symbolic link nor what is no file. Raises OSError, StoreError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(path, "rb", buffering=0, opener=lambda name, _: os.open(name, flags)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} is no file")
        check(path, found)
        yield file


def _header(wal: Path) -> bytes:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(wal, "rb", buffering=0, opener=lambda name, _: os.open(name, flags)) as file:
            return file.read(HEADER) or b""
    except FileNotFoundError:
        return b""


def _write(source: BinaryIO, target: Path) -> None:
    with open(target, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as copy:
        shutil.copyfileobj(source, copy, 1 << 20)


def _is_still(path: Path, file: BinaryIO) -> bool:
    """Return whether it is still this file that has this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
