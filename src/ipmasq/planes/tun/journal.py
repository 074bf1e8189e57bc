"""Records changes to the host before they are made, so that they can be undone even after a crash.

There is one file per network namespace below /run/ipmasq (in memory: a reboot discards the changes and the
record together), which is replaced as a whole each time. A lock file beside it is held while the process
lives: the kernel releases it however the process ends, so a record without a holder is what a crash left
behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun import settings
from ipmasq.planes.tun.changes import Change, SettingChanged, lets_pass, read
from ipmasq.planes.tun.record import DIRECTORY, STARTED, record_in

SO_NETNS_COOKIE = 71

ASKED, PAUSE = 5, 0.01
"""How often the lock is asked for before it is said that a gateway runs, and seconds between two attempts."""


C = TypeVar("C", bound=Change)


class Journal:
    """Open the journal. Raises PlaneError if another process holds the lock, or /run cannot be written."""

    def __init__(
        self,
        kernel: IPRoute,
        directory: Path = DIRECTORY,
        can_adopt: Callable[[], bool] = lambda: False,
        lock: int = -1,
    ) -> None:
        """Undo what an earlier process has left, or if `can_adopt` says so, treat it as this one's own changes. It is
        asked when no other gateway runs. `lock` is the descriptor of a lock that this process was given; see `sign`."""
        self._kernel = kernel
        self._changes: list[Change] = []
        self._told: set[str] = set()
        self.directory, self.namespace = directory, namespace()
        self._record = record_in(directory)
        try:
            directory.mkdir(mode=0o755, exist_ok=True)
            self._lock = lock if lock >= 0 else _lock(self._record.with_suffix(".lock"))
        except PermissionError as error:
            raise PlaneError(
                f"the gateway needs root: {error.filename}: {error.strerror}"
            ) from error
        except OSError as error:
            raise PlaneError(f"{error.filename or directory}: {error.strerror}") from error
        self.adopted: Sequence[Change] = ()
        """The changes of an earlier process that remain in force."""
        self.leftovers: Sequence[Change] = ()
        """The changes of an earlier process that was killed, which were found and undone."""
        try:
            self._take_leftovers(can_adopt())
        except BaseException:
            os.close(self._lock)
            raise

    def new_settings(self) -> Sequence[SettingChanged]:
        """Return the kernel settings that differ from before, without those that an earlier call returned."""
        settings = [each for each in self._changes if isinstance(each, SettingChanged)]
        new = [each for each in settings if each.was != each.value and each.path not in self._told]
        self._told.update(each.path for each in new)
        return new

    def make(self, changes: Iterable[Change]) -> None:
        """Record changes, then make them. Raises OSError or NetlinkError; what was made until then is on
        record, and the rest can be made later."""
        known = [each for each in self._changes if not isinstance(each, SettingChanged)]
        changes = [change for change in changes if change not in known]
        if not changes:
            return
        before, made = self._changes, list[Change]()
        self._changes = _followed(before, changes)
        try:
            self._write()
            for change in changes:
                change.make(self._kernel)
                made.append(change)
        except BaseException:
            self._changes = _followed(before, made)
            raise

    def adopt(self, changes: Sequence[Change]) -> None:
        """Record changes that are in force and on no record. Raises OSError."""
        if changes:
            self._changes += changes
            self._write()

    def setting(self, path: str, value: str) -> SettingChanged | None:
        """Return the change that gives a setting this value; None if it has it. Raises OSError."""
        if settings.read(path) == value:
            return None
        return SettingChanged(path, self.original(path), value)

    def original(self, path: str) -> str:
        """Return the value of a setting before the gateway changed it. Raises OSError."""
        for change in self._changes:
            if isinstance(change, SettingChanged) and change.path == path:
                return change.was
        return settings.read(path)

    def undo(self, changes: Iterable[Change]) -> None:
        """Undo these changes in the order given, then remove them from the record."""
        gone = list(changes)
        if not gone:
            return
        undone: list[Change] = []
        try:
            for change in gone:
                change.undo(self._kernel)
                undone.append(change)
        finally:
            self._changes = [change for change in self._changes if change not in undone]
        self._write()

    def close(self) -> None:
        """Undo all changes, latest first, and release the lock. May be called twice."""
        if self._lock < 0:
            return
        _undo(self._kernel, self._changes)
        self._changes = []
        for suffix in (".json", ".new", STARTED, ".lock"):
            self._record.with_suffix(suffix).unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1

    def made(self, kind: type[C]) -> list[C]:
        """Return the changes of a kind that are in force, in their order."""
        return [each for each in self._changes if isinstance(each, kind)]

    def leave(self) -> None:
        """Leave all changes and their record to a successor, and release the lock."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    @property
    def lock(self) -> int:
        """The descriptor of the lock. A process that inherits it has the same lock."""
        return self._lock

    def sign(self) -> None:
        """Write into the lock that this process has it."""
        _sign(self._lock)

    def lend(self) -> None:
        """Leave all changes and their record as `leave` does, but do not release the lock, which another process has by
        now, or another journal of this one."""
        self._lock = -1

    def _take_leftovers(self, is_adopted: bool) -> None:
        changes = recorded(self._record)
        if is_adopted:
            self.adopted = changes
            self._changes = list(changes)
            return
        _undo(self._kernel, changes)
        self._record.unlink(missing_ok=True)
        self.leftovers = changes

    def _write(self) -> None:
        record = {
            "process": os.getpid(),
            "namespace": cookie(),
            "changes": [change.written() for change in self._changes],
        }
        draft = self._record.with_suffix(".new")
        try:
            with open(draft, "w", encoding="utf-8", opener=_opener) as file:
                file.write(json.dumps(record, indent=1))
            draft.replace(self._record)
        except OSError as error:  # of a full disk, it has no name
            raise OSError(error.errno, error.strerror, str(self._record)) from error


def recorded(record: Path) -> list[Change]:
    """Return the changes that were recorded in this network namespace and not undone. Raises PlaneError, OSError."""
    try:
        text = json.loads(record.read_text())
        changes = [read(each) for each in text["changes"]]
        # Numbers of namespaces are reused, cookies never: another namespace's record does not concern this
        # one.
        return changes if text["namespace"] == cookie() else []
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PlaneError(
            f"{record} is not a record of changes; look at it, then remove it"
        ) from error


def holder(record: Path) -> str | None:
    """Return the process of the gateway whose record it is; None if none lives. Raises OSError."""
    lock = record.with_suffix(".lock")
    try:
        descriptor = _opener(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError:
        return _locked_by(lock)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _process(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def reserved(directory: Path = DIRECTORY) -> Iterator[None]:
    """Take the place of a gateway, so that none runs in this network namespace meanwhile. Nothing is undone. Raises
    PlaneError if one runs, and OSError."""
    lock = record_in(directory).with_suffix(".lock")
    directory.mkdir(mode=0o755, exist_ok=True)
    descriptor = _lock(lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # the next gateway may be another user's
        os.close(descriptor)


def _followed(before: Iterable[Change], changes: Sequence[Change]) -> list[Change]:
    """Return all changes after some were made: of a setting, the latest one."""
    paths = {change.path for change in changes if isinstance(change, SettingChanged)}
    return [*(each for each in before if getattr(each, "path", None) not in paths), *changes]


def _undo(kernel: IPRoute, changes: list[Change]) -> None:
    """Undo all changes, even if some cannot be undone; then raise PlaneError about those. The kernel forwards no more
    before anything else is undone: without our rules, packets would leave untranslated (attack A-37)."""
    troubles, latest_first = [], changes[::-1]
    for change in sorted(latest_first, key=lambda each: not lets_pass(each)):
        try:
            change.undo(kernel)
        except (OSError, NetlinkError) as error:
            troubles.append(f"{change}: {error}")
    if troubles:
        raise PlaneError("could not be undone: " + "; ".join(troubles))


def _locked_by(lock: Path) -> str | None:
    """Return the process that has a lock (flock(2)) of a file that this process may not open; None if none has."""
    file = lock.stat()
    wanted = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if wanted in fields and "FLOCK" in fields and "->" not in fields:
            return fields[fields.index(wanted) - 1]
    return None


def _opener(path: str | Path, flags: int, mode: int = 0o644) -> int:
    """Open a file, but not a symbolic link: the directory may belong to a user with fewer rights."""
    return os.open(path, flags | os.O_NOFOLLOW, mode)


def _lock(path: Path) -> int:
    asked = 0
    while True:
        # Whoever can open it can lock it, and so keep a gateway from starting.
        descriptor = _opener(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            process = _process(descriptor)
            os.close(descriptor)
            asked += 1
            if asked < ASKED:  # `holder` has the lock for a moment
                time.sleep(PAUSE)
                continue
            raise PlaneError(
                f"ipmasq is running already in this network namespace (process {process})"
            ) from error
        if os.fstat(descriptor).st_nlink:
            os.fchmod(descriptor, 0o600)
            _sign(descriptor)
            return descriptor
        os.close(descriptor)  # The holder has just removed it at its end: open the next one.


def _sign(descriptor: int) -> None:
    """Write into a lock which process has it."""
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _process(descriptor: int) -> str:
    return os.pread(descriptor, 20, 0).decode() or "unknown"


def namespace() -> str:
    """Return a name of this network namespace that no other one ever gets."""
    return f"{os.stat('/proc/self/ns/net').st_ino}-{cookie()}"


def cookie() -> int:
    """Return the kernel's cookie of this network namespace, which is never reused (Linux 5.14; before: 0)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            return int.from_bytes(
                any_socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little"
            )
        except OSError:
            return 0
