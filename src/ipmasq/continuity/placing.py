"""Puts a saved state where the next gateway looks for one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from ipmasq.continuity.contents import Contents, read
from ipmasq.continuity.copying import copy
from ipmasq.continuity.encoding import decode, moved
from ipmasq.continuity.kept import BOOT, Location, is_own
from ipmasq.continuity.scratch import scratch
from ipmasq.continuity.sqlite import remove, set_aside
from ipmasq.continuity.store import StoreError

REPLACED = ".replaced"
"""The end of the name of a state that another one has replaced."""

BECAUSE = "a state says which code a gateway runs"


def put(source: Path, location: Location, now: float, wall: float) -> tuple[Contents, Path | None]:
    """Put the saved state `source` in place. No gateway may run there meanwhile. `now` is on the clock of the host, `wall` on the
    wall clock, both in seconds. Return what it holds, and the present name of the state that was there, if one was.

    Raises OSError, and StoreError if the state is not sound, or not to be trusted; then nothing has changed.
    """
    with scratch() as private:
        draft = private / "state.db"
        copy(source, draft, check)
        found = read(draft)
        if found.trouble:
            raise StoreError(f"{source}: {found.trouble}")
        _adopt(draft, found.about, location.about, now, wall)
        return found, _install(draft, location.path)


def check(path: Path, found: os.stat_result) -> None:
    """Raise StoreError for a file that another user may have written: a state names files with the code of helpers."""
    if not is_own(found):
        raise StoreError(f"{path} is another user's file, and {BECAUSE}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(f"other users may write {path}, and {BECAUSE}")


def _adopt(
    draft: Path, was: Mapping[str, str], about: Mapping[str, str], now: float, wall: float
) -> None:
    """Make it the state of this network namespace, and of this run of the host. Raises StoreError."""
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as store:
            store.execute("PRAGMA locking_mode = EXCLUSIVE")
            store.execute("BEGIN")
            store.execute("DELETE FROM about")
            store.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            if was.get(BOOT) != about.get(BOOT):
                _move(store, now, wall)
            store.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"it cannot be prepared: {error}") from error


def _move(store: sqlite3.Connection, now: float, wall: float) -> None:
    """Express the moments of all batches by the clock of this run of the host."""
    for turn, data in store.execute("SELECT turn, changes FROM log").fetchall():
        moment = now - max(0.0, wall - decode(data).wall)
        store.execute("UPDATE log SET changes = ? WHERE turn = ?", (moved(data, moment), turn))


def _install(draft: Path, path: Path) -> Path | None:
    """Put a file in the place of the state, for the user to whom the directory belongs. Raises OSError."""
    path.parent.mkdir(mode=0o755, exist_ok=True)
    owner = path.parent.stat()
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    try:
        _copy_for(owner, draft, new)
        replaced = None
        if os.path.lexists(path):
            remove(path.with_name(f"{path.name}{REPLACED}"))
            replaced = set_aside(path, REPLACED)
        remove(path)  # what SQLite had beside it
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return replaced


def _copy_for(owner: os.stat_result, draft: Path, new: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        open(draft, "rb") as source,
        open(os.open(new, flags, 0o600), "wb") as target,
    ):
        os.fchown(target.fileno(), owner.st_uid, owner.st_gid)
        shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
        os.fsync(target.fileno())
