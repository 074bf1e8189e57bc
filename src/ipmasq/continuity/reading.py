"""What was read of a store: the last record of each thing.

A successor reads most of it before its predecessor has closed the store, from a copy, and the rest when it is closed.
"""

from __future__ import annotations

import os
from pathlib import Path

from ipmasq.continuity.encoding import decode
from ipmasq.continuity.held import Held
from ipmasq.continuity.sqlite import SqliteStore


class Reading:
    def __init__(self, path: Path | None = None) -> None:
        """`path` is that of the store, if a copy of it is read. Raises OSError."""
        self.held = Held()
        self.moment: float | None = None
        """When the last batch was written, on the clock of the host."""
        self._turn = 0
        """The number of that batch."""
        self._path = path
        self._file = -1
        """A descriptor of the store's file. As long as it is open, no other file has its number."""
        if path is not None:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._file = os.open(path, flags)

    def go_on(self, store: SqliteStore, now: float, wall: float, same_run: bool) -> None:
        """Read what was not read yet. `now` is on the clock of the host, `wall` on the wall clock, both in seconds.
        `same_run`: the host was not restarted since it was written. Raises StoreError, StateError."""
        if not store.has_all(self._turn):
            # A snapshot that was begun since has replaced batches that were not read, and does not have what has ended.
            self.held, self.moment, self._turn = Held(), None, 0
        for data in store.load(self._turn):
            batch = decode(data)
            age = now - batch.moment if same_run else wall - batch.wall
            self.moment = now - max(0.0, age)
            self.held.apply(batch.changed, self.moment)
        self.held.settle()
        self._turn = store.turn

    def close(self) -> bool:
        """Return whether the store still has the file of which a copy was read. SQLite may open it only after this: its
        locks end when this process closes any descriptor of the file."""
        if self._file < 0 or self._path is None:
            return False
        file, self._file = self._file, -1
        try:
            return os.path.samestat(os.fstat(file), self._path.lstat())
        except OSError:
            return False
        finally:
            os.close(file)
