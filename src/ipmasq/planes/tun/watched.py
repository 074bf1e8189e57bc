"""Keeps the kernel settings that the plane depends on while it runs.

`sysctl --system`, a package or an administrator can write any of them at any time. A value that was written
meanwhile is restored when the gateway has gone, since it is the operator's latest decision.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ipmasq.core.policy import PortRange
from ipmasq.planes.tun import settings
from ipmasq.planes.tun.changes import Change, SettingChanged
from ipmasq.planes.tun.journal import Journal

ALL_FORWARDING = f"{settings.ROOT}/ipv4/conf/all/forwarding"
"""`net.ipv4.ip_forward`; writing it writes the setting of every interface."""

ALL_RP_FILTERS = f"{settings.ROOT}/ipv4/conf/all/rp_filter"


class Restored(NamedTuple):
    """A setting that was changed, or a rule or route that was removed, by other software."""

    setting: str
    """The name in sysctl(8) or ip(8): `net.ipv4.conf.eth0.rp_filter`."""
    found: str
    """Empty for a rule or route that was missing, like `wanted`."""
    wanted: str
    trouble: str = ""
    """Why it could not be restored."""

    def what_is_wrong(self) -> str:
        """Return a description while there is trouble."""
        if not self.wanted:
            return f"{self.setting} is missing: {self.trouble}"
        return f"{self.setting} is {self.found} and must be {self.wanted}: {self.trouble}"


class Watched:
    """Settings that are made at once, and checked again on request."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._wanted: dict[str, str] = {}
        self._made_for: dict[str, int] = {}
        """The ifindex, for settings of an interface, at the time when they were made."""
        self._own: dict[str, str] = {}
        self._taken: tuple[PortRange, ...] = ()
        self._forwarding = _read(ALL_FORWARDING)
        self.adopt(journal.adopted)

    def adopt(self, changes: Iterable[Change]) -> None:
        """Check the settings that an earlier process has made, too."""
        for change in changes:
            if isinstance(change, SettingChanged):
                self._wanted[change.path] = change.value
                self._made_for[change.path] = _index(change.path)

    def own(self, values: Mapping[str, str]) -> None:
        """Make settings of the plane's own devices. They disappear with the devices, so they need not be
        undone."""
        self._own.update(values)
        for path, value in values.items():
            if Path(path).exists():
                Path(path).write_text(value)

    def set(self, values: Mapping[str, str]) -> None:
        """Make settings. Those of interfaces that are missing now are made when they appear. Raises OSError."""
        for path, value in values.items():
            self._wanted[path] = value
            self._made_for[path] = _index(path)
            if Path(path).exists():
                change = self._journal.setting(path, value)
                if change:
                    self._journal.make([change])

    def leave(self, paths: Iterable[str]) -> None:
        """Stop checking settings. They stay as they are until the end."""
        for path in paths:
            self._wanted.pop(path, None)

    def reserve(self, taken: Iterable[PortRange]) -> None:
        """Reserve ports that the kernel must not choose, in addition to those that are reserved anyway.
        Raises OSError."""
        self._taken = tuple(taken)
        before = self._journal.original(settings.RESERVED)
        self.set({settings.RESERVED: settings.reserved_ports(before, self._taken)})

    def follow_rp_filters(self) -> None:
        """Switch the filter of all interfaces off without switching off those of other interfaces. Raises
        OSError."""
        self.set(settings.rp_filters(settings.read_rp_filters()))

    def restore(self) -> tuple[Restored, ...]:
        """Restore settings that were changed, and return them, with `trouble` if that failed."""
        return tuple(self._look())

    def _leave_forwarding_to_others(self) -> None:
        """Keep forwarding on when the gateway has gone, if other software (Docker, libvirt) has switched it
        on for all interfaces since."""
        before, self._forwarding = self._forwarding, _read(ALL_FORWARDING)
        if before == "0" and self._forwarding == "1":
            paths = [path for path in self._wanted if path.endswith("/forwarding") and _read(path)]
            self._journal.make(SettingChanged(path, "1", "1") for path in paths)

    def _look(self) -> Iterator[Restored]:
        self._leave_forwarding_to_others()
        for path, value in self._own.items():
            if (found := _read(path)) not in (None, value):
                yield self._put(path, str(found), value, on_record=False)
        for path, value in list(self._wanted.items()):
            found = _read(path)
            if self._made_for.get(path) != _index(path):  # another interface of the same name
                self.set({path: value})
                continue
            if (
                found is None
                or found == value
                or path == ALL_RP_FILTERS
                or _serves(path, found, value)
            ):
                continue
            if path == settings.RESERVED:
                value = self._wanted[path] = settings.reserved_ports(found, self._taken)
                if found == value:
                    continue
            yield self._put(path, found, value)
        if (found := _read(ALL_RP_FILTERS)) not in (None, "0"):
            for path, value in settings.rp_filters(settings.read_rp_filters()).items():
                self._wanted[path] = value
                if path != ALL_RP_FILTERS:
                    self.set({path: value})
            yield self._put(ALL_RP_FILTERS, str(found), "0")

    def _put(self, path: str, found: str, value: str, on_record: bool = True) -> Restored:
        try:
            if on_record:
                self._journal.make([SettingChanged(path, found, value)])
            else:
                Path(path).write_text(value)
        except OSError as error:
            return Restored(_name(path), found, value, error.strerror or str(error))
        return Restored(_name(path), found, value)


def _serves(path: str, found: str, value: str) -> bool:
    """Return whether the found value is acceptable as well: the filter of another interface that was set as
    strict as `all` had been, and is stricter or looser (2) now."""
    return path.endswith("/rp_filter") and found.isdigit() and int(found) >= int(value)


def _index(path: str) -> int:
    """Return the ifindex of the interface of a setting; 0 if there is none."""
    name = path.rsplit("/", 2)[1]
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _name(path: str) -> str:
    return ".".join(Path(path).relative_to("/proc/sys").parts)


def _read(path: str) -> str | None:
    try:
        return settings.read(path)
    except OSError:  # the interface is missing
        return None
