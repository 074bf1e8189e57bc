"""What an earlier process has kept in the embedded store, as the successor finds it at its start."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ipmasq.continuity.changed import Changed, drop_replaced
from ipmasq.continuity.durable import Background
from ipmasq.continuity.encoding import decode
from ipmasq.continuity.sqlite import BusyError, SqliteStore, remove, set_aside
from ipmasq.continuity.store import Store, StoreError
from ipmasq.core.changes import Key, Kind
from ipmasq.core.compact import Compact
from ipmasq.core.plain import StateError
from ipmasq.core.restoring import Kept

BOOT = "boot"
"""The name under which a store has the identity of the host's present run: `boot_id`."""


@dataclass(slots=True)
class Found:
    store: Store | None = None
    """The store in which the state is kept on; None if there is none now."""
    kept: list[Kept] = field(default_factory=list)
    """The last record of each thing that is no row of `compact`."""
    compact: Compact | None = None
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


class Location:
    """Where the state of a gateway is kept."""

    def __init__(self, path: Path, about: Mapping[str, str], durable: bool) -> None:
        """`about` says of which run of the host and of which network namespace it is. A state of another one is
        of no use, unless it is `durable`."""
        self.path = path
        self.about = about
        self.durable = durable

    def find(self, now: float, wall: float) -> Found:
        """Return what an earlier process has kept. A state that cannot be read is set aside. `now` is on the clock of
        the host, `wall` on the wall clock, both in seconds. Never raises."""
        try:
            store = self._open()
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
                store = self._open()
            found = self._read(store, now, wall)
        except (OSError, StoreError, StateError) as error:
            store.close()
            return self.refuse(str(error))
        found.store = self._in_background(store)
        return found

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

    def _open(self) -> SqliteStore:
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
        return SqliteStore(self.path, self.about, self.durable)

    def _in_background(self, store: SqliteStore) -> Store:
        return Background(store) if self.durable else store

    def _read(self, store: SqliteStore, now: float, wall: float) -> Found:
        same_run = store.about.get(BOOT) == self.about.get(BOOT)
        last, compact = dict[Key, Kept](), Compact()
        moment = now
        for data in store.load():
            batch = decode(data)
            age = now - batch.moment if same_run else wall - batch.wall
            moment = now - max(0.0, age)
            apply(batch.changed, moment, last, compact)
        others = {str(key): each.row for (kind, key), each in last.items() if kind == Kind.GATEWAY}
        kept = [each for each in last.values() if each.kind != Kind.GATEWAY]
        return Found(store, kept, compact, others, now - moment)


def apply(changed: Changed, moment: float, last: dict[Key, Kept], compact: Compact) -> None:
    """Let the records of a batch take the place of earlier ones."""
    flow, mapping = int(Kind.FLOW), int(Kind.MAPPING)
    drop_replaced(last, changed)
    compact.flows.update(zip(changed.flows.numbers, changed.flows.each(), strict=True))
    compact.moments.update(dict.fromkeys(changed.flows.numbers, moment))
    compact.mappings.update(zip(changed.mappings.numbers, changed.mappings.each(), strict=True))
    gone = [(flow, number) for number in changed.ended_flows]
    gone += [(mapping, number) for number in changed.ended_mappings]
    for record in changed.records:
        if record.row is not None:
            last[record.kind, record.key] = Kept(*record, moment)
            compact.forget(record.kind, record.key)
        else:
            last.pop((record.kind, record.key), None)
    for kind, number in gone:
        last.pop((kind, number), None)
        compact.forget(kind, number)
