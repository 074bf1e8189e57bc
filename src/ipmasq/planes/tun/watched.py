"""The kernel settings that the plane depends on, kept as they must be while it runs.

`sysctl --system`, a package or an administrator can write any of them at any time. What somebody has written
since is what is there again when the gateway has gone: it is the latest that the operator has said.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ipmasq.core.policy import PortRange
from ipmasq.planes.tun import settings
from ipmasq.planes.tun.changes import SettingChanged
from ipmasq.planes.tun.journal import Journal

ALL_FORWARDING = f"{settings.ROOT}/ipv4/conf/all/forwarding"
"""`net.ipv4.ip_forward`: whoever writes it writes that of every interface."""

ALL_RP_FILTERS = f"{settings.ROOT}/ipv4/conf/all/rp_filter"


class Restored(NamedTuple):
    """A setting that somebody has changed, or a rule or route that somebody has removed."""

    setting: str
    """As sysctl(8) or ip(8) has it: `net.ipv4.conf.eth0.rp_filter`."""
    found: str
    """Empty of a rule or route that was not there, as `wanted` is."""
    wanted: str
    trouble: str = ""
    """Why it could not be set back."""

    def what_is_wrong(self) -> str:
        """While there is trouble."""
        if not self.wanted:
            return f"{self.setting} is missing: {self.trouble}"
        return f"{self.setting} is {self.found} and must be {self.wanted}: {self.trouble}"


class Watched:
    """Settings, which it makes at once and looks at again whenever it is asked to."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._wanted: dict[str, str] = {}
        self._made_for: dict[str, int] = {}
        """Of settings of an interface: its index when they were made."""
        self._own: dict[str, str] = {}
        self._taken: tuple[PortRange, ...] = ()
        self._forwarding = _read(ALL_FORWARDING)

    def own(self, values: Mapping[str, str]) -> None:
        """Settings of the plane's own devices: they go with these, so nobody needs to undo them."""
        self._own.update(values)
        for path, value in values.items():
            if Path(path).exists():
                Path(path).write_text(value)

    def set(self, values: Mapping[str, str]) -> None:
        """Those of interfaces that are away now are made when they come back. Raises OSError."""
        for path, value in values.items():
            self._wanted[path] = value
            self._made_for[path] = _index(path)
            if Path(path).exists():
                change = self._journal.setting(path, value)
                if change:
                    self._journal.make([change])

    def leave(self, paths: Iterable[str]) -> None:
        """These are no longer needed. They stay as they are until the end."""
        for path in paths:
            self._wanted.pop(path, None)

    def reserve(self, taken: Iterable[PortRange]) -> None:
        """Ports that the kernel must not choose, besides those that it must not anyway. Raises OSError."""
        self._taken = tuple(taken)
        before = self._journal.original(settings.RESERVED)
        self.set({settings.RESERVED: settings.reserved_ports(before, self._taken)})

    def follow_rp_filters(self) -> None:
        """Switch the one of all interfaces off without switching off those of others. Raises OSError."""
        self.set(settings.rp_filters(settings.read_rp_filters()))

    def restore(self) -> tuple[Restored, ...]:
        """What was not as it must be, and is now, unless there is `trouble`."""
        return tuple(self._look())

    def _leave_forwarding_to_others(self) -> None:
        """Somebody has switched it on for all since (Docker, libvirt): it stays on when the gateway has gone."""
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
    """Whether it does as well: a filter of somebody else's interface that was made as strict as that of all
    had been, and is stricter or looser (2) by now."""
    return path.endswith("/rp_filter") and found.isdigit() and int(found) >= int(value)


def _index(path: str) -> int:
    """Of the interface whose setting it is; 0 if there is none."""
    name = Path(path).parent.name
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _name(path: str) -> str:
    return ".".join(Path(path).relative_to("/proc/sys").parts)


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().rstrip("\n")
    except OSError:  # of an interface that is away
        return None
