"""What an earlier process has kept in the embedded store, as the successor finds it at its start."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ipmasq.continuity.copying import copy
from ipmasq.continuity.durable import Background
from ipmasq.continuity.reading import Reading
from ipmasq.continuity.scratch import scratch
from ipmasq.continuity.sqlite import BusyError, SqliteStore, remove, set_aside
from ipmasq.continuity.store import Store, StoreError
from ipmasq.core.indexed import Indexed
from ipmasq.core.plain import StateError
from ipmasq.core.restoring import Kept

log = logging.getLogger("ipmasq")

BOOT = "boot"
"""The name under which a store has the identity of the host's present run: `boot_id`."""


@dataclass(slots=True)
class Found:
    store: Store | None = None
    """The store in which the state is kept on; None if there is none now."""
    kept: list[Kept] = field(default_factory=list)
    """The last record of each thing that is no row of `plain`."""
    plain: Indexed | None = None
    """Plain flows and mappings."""
    others: dict[str, object] = field(default_factory=dict)
    """The rows of the gateway by their names."""
    age: float = 0.0
    """Seconds since the last record was written."""
    refused: str = ""
    """Why a state was refused; empty if none was."""
    trouble: str = ""
    """Why there is no store."""


def is_own(found: os.stat_result) -> bool:
    """Whether root or the user of this process owns the file. No other owner is trusted, since a state names the code
    that helpers run."""
    return found.st_uid in (0, os.geteuid())


TIMES = 2
"""How often a copy is read ahead: the second one has what has come while the first one was read."""


class Location:
    """Where the state of a gateway is kept."""

    def __init__(self, path: Path, about: Mapping[str, str], durable: bool) -> None:
        """`about` says of which run of the host and of which network namespace it is. A state of another one is
        of no use, unless it is `durable`."""
        self.path = path
        self.about = about
        self.durable = durable

    def read_ahead(self, now: float, wall: float) -> Reading | None:
        """Read what a gateway that runs has written until now, so that `find` has less to read later. `now` and `wall`
        are as for `find`. Return None if that is not possible. Never raises."""
        reading = None
        try:
            reading = Reading(self.path)
            for _ in range(TIMES):
                self._read_copy(reading, now, wall)
        except (OSError, StoreError, StateError) as error:
            log.info("the state is read in the pause, which gets longer: %s", error)
            if reading is not None:
                reading.close()
            return None
        return reading

    def _read_copy(self, reading: Reading, now: float, wall: float) -> None:
        """Raises OSError, StoreError, StateError."""
        with scratch() as private:
            draft = private / self.path.name
            copy(self.path, draft)
            with closing(SqliteStore(draft, self.about)) as store:
                if store.about != self.about:
                    raise StoreError(f"{self.path}: it is of another host or network namespace")
                self._go_on(reading, store, now, wall)

    def find(self, now: float, wall: float, ahead: Reading | None = None) -> Found:
        """Return what an earlier process has kept. A state that cannot be read is set aside. `now` is on the clock of
        the host, `wall` on the wall clock, both in seconds. What was read `ahead` is not read again. Never raises."""
        is_read = ahead is not None and ahead.close()
        reading = ahead if ahead is not None and is_read else Reading()
        try:
            store = self._open(is_sound=is_read)
        except BusyError as error:
            return Found(trouble=str(error))
        except StoreError as error:
            if not self.path.exists():
                return Found(trouble=str(error))
            return self.refuse(str(error))
        try:
            if store.about != self.about and not self.durable:
                store.close()
                remove(self.path)
                store, reading = self._open(), Reading()
            self._go_on(reading, store, now, wall)
        except (OSError, StoreError, StateError) as error:
            store.close()
            return self.refuse(str(error))
        held = reading.held
        age = 0.0 if reading.moment is None else now - reading.moment
        kept, others = held.of_engine(), held.of_gateway()
        return Found(self._in_background(store), kept, held.plain, others, age)

    def refuse(self, reason: str, store: Store | None = None) -> Found:
        """Set the state aside, and begin a new one."""
        if store is not None:
            store.close()
        try:
            set_aside(self.path)
        except OSError as error:
            return Found(refused=reason, trouble=f"{self.path}: {error.strerror}")
        try:
            return Found(self._in_background(self._open()), refused=reason)
        except StoreError as error:
            return Found(refused=reason, trouble=str(error))

    def begin(self) -> Store:
        """Return a new store in the place of the one that is there. Raises StoreError."""
        try:
            remove(self.path)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        return self._in_background(self._open())

    def _open(self, is_sound: bool = False) -> SqliteStore:
        """Raises StoreError."""
        try:
            self.path.parent.mkdir(mode=0o755, exist_ok=True)
            directory = self.path.parent.stat()
            if not is_own(directory) or directory.st_mode & stat.S_IWOTH:
                raise StoreError(f"{self.path.parent}: another user may write there")
            # It may have what users have typed, such as passwords.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self.path, flags, 0o600)
            found = os.fstat(descriptor)
            os.close(descriptor)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        if not is_own(found) or not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{self.path}: it is another user's, or no file")
        return SqliteStore(self.path, self.about, self.durable, is_sound)

    def _in_background(self, store: SqliteStore) -> Store:
        return Background(store) if self.durable else store

    def _go_on(self, reading: Reading, store: SqliteStore, now: float, wall: float) -> None:
        """Raises StoreError, StateError."""
        reading.go_on(store, now, wall, store.about.get(BOOT) == self.about.get(BOOT))
