"""The embedded store: one row per turn in an SQLite file.

A row per flow would cost a fifth of a new flow; a row per turn costs a few microseconds per change. The last
record of a thing counts, so a snapshot is nothing but further rows in which everything is written once more, after
which the rows before it are deleted, a few at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ipmasq.continuity.store import StoreError

APPLICATION = 0x69706D71
"""`PRAGMA application_id` of a state of this program: "ipmq"."""

LAYOUT = 1
"""`PRAGMA user_version`: a new number whenever the tables are others."""

TRIM, TRIM_EVERY = 64, 16
"""Rows that are deleted at once, so that the loop does not wait for long; and appended rows after which that is done
once more. So rows go faster than they come, however fast they come."""


class BusyError(StoreError):
    """Another process has the file open."""


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Raise StoreError for whatever SQLite raises."""
    try:
        yield
    except sqlite3.OperationalError as error:
        busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        raise (BusyError if busy else StoreError)(f"{path}: {error}") from error
    except (sqlite3.Error, OSError, OverflowError) as error:
        raise StoreError(f"{path}: {error}") from error


CACHE = 200
"""KiB of the file that are kept in memory: it is read at the start only, and SQLite's own 2 MiB would be used up by a
flood."""


class SqliteStore:
    """Not safe for use by two threads at the same time, but it may be opened by one and used by another."""

    def __init__(
        self,
        path: Path,
        about: Mapping[str, str],
        durable: bool = False,
        is_sound: bool = False,
    ) -> None:
        """Open the file, or make it. `about` says of what it is the state: it is written into a new file; see
        `about`. `durable`: what was appended survives a loss of power, too. `is_sound`: a copy of it was found
        sound a moment ago. Raises StoreError, in particular if the file is damaged or of another program or
        version; then it is left as it is."""
        self.path = path
        with _errors(path):
            self._connection = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=16
            )
        try:
            with _errors(path):
                self.about = self._open(about, durable, is_sound)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, about: Mapping[str, str], durable: bool, is_sound: bool) -> dict[str, str]:
        run = self._connection.execute
        run(
            "PRAGMA locking_mode = EXCLUSIVE"
        )  # no other process, and no shared memory beside the file
        run("PRAGMA journal_mode = WAL")
        run(f"PRAGMA cache_size = -{CACHE}")
        run(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            self._make(about)
        (application,), (layout,) = (
            run(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        if application != APPLICATION:
            raise StoreError(f"{self.path}: it is not a state of ipmasq")
        if layout != LAYOUT:
            raise StoreError(f"{self.path}: it is a state of another version of ipmasq")
        if not is_sound:
            (sound,) = run("PRAGMA quick_check(1)").fetchone()
            if sound != "ok":
                raise StoreError(f"{self.path}: it is damaged ({sound})")
        last, size = run("SELECT max(turn), total(length(changes)) FROM log").fetchone()
        self._turn, self._size = last or 0, int(size)
        self._oldest: int | None = None
        """The turn of the oldest row that is needed, while older ones are being deleted."""
        self._snapshot = 0
        """The turn with which the last snapshot began."""
        return dict(run("SELECT name, value FROM about"))

    def _make(self, about: Mapping[str, str]) -> None:
        run = self._connection.execute
        run("BEGIN")
        run(f"PRAGMA application_id = {APPLICATION}")
        run(f"PRAGMA user_version = {LAYOUT}")
        run("CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        run("CREATE TABLE log (turn INTEGER PRIMARY KEY, changes BLOB NOT NULL)")
        self._connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
        run("COMMIT")

    @property
    def turn(self) -> int:
        """The number of the latest batch; 0 before the first one."""
        return self._turn

    def has_all(self, after: int) -> bool:
        """Return whether every batch from the one after this number on is still here."""
        with _errors(self.path):
            (first,) = self._connection.execute("SELECT min(turn) FROM log").fetchone()
        return (first or 0) - 1 <= after <= self._turn

    def load(self, after: int = 0) -> Iterator[bytes]:
        """Yield the batches that are kept, oldest first, from the one after this number on. A damaged file may have
        values of other types."""
        with _errors(self.path):
            found = self._connection.execute(
                "SELECT changes FROM log WHERE turn > ? ORDER BY turn", (after,)
            )
            yield from (row[0] for row in found)

    def append(self, batch: bytes, kept: Callable[[], object] | None = None) -> None:
        with _errors(self.path):
            self._connection.execute("INSERT INTO log VALUES (?, ?)", (self._turn + 1, batch))
        self._turn += 1
        self._size += len(batch)
        if self._turn % TRIM_EVERY == 0:
            self.trim()
        if kept is not None:
            kept()

    def begin_snapshot(self) -> None:
        self._snapshot = self._turn + 1

    def end_snapshot(self) -> None:
        self._oldest = self._snapshot

    def trim(self) -> None:
        if self._oldest is None:
            return
        with _errors(self.path):
            found = self._connection.execute(
                "DELETE FROM log WHERE turn IN (SELECT turn FROM log WHERE turn < ? ORDER BY turn LIMIT ?)"
                " RETURNING length(changes)",
                (self._oldest, TRIM),
            ).fetchall()
        self._size -= sum(size for (size,) in found)
        if len(found) < TRIM:
            self._oldest = None

    @property
    def has_old(self) -> bool:
        return self._oldest is not None

    @property
    def size(self) -> int:
        return self._size

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()


def remove(path: Path) -> None:
    """Remove the file of a store, with the files that SQLite keeps beside it. Raises OSError."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def set_aside(path: Path, ending: str = ".refused") -> Path:
    """Give the file of a store another name, so that a new one can be made. Raises OSError."""
    aside = path.with_name(f"{path.name}{ending}")
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    return aside
