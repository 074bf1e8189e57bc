"""What a gateway that runs lends to its successor, and takes back if that fails."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ipmasq.gateway.drive import Drive
from ipmasq.gateway.keeping import Keeping
from ipmasq.gateway.offloading import Offloading
from ipmasq.gateway.setup import Setup
from ipmasq.planes.tun.plane import TunPlane

KEEPS_NOTHING = (
    "nothing is kept here that a new process could take over ([state] keep = false, or grace = 0); of a group of"
    " gateways, restart one after the other (docs/two-gateways.md)"
)


def facts_of(setup: Setup, path: Path | None, directory: Path) -> dict[str, Any]:
    """Return what two processes must agree on so that one can take over from the other, as JSON values: the settings
    of the state, where it is (`path`), the runtime `directory`, and the network namespace."""
    state = setup.state
    settings = (
        {f"[state] {f.name}": str(getattr(state, f.name)) for f in fields(state)} if state else {}
    )
    return {
        **settings,
        "the group ([ha])": setup.ha.group if setup.ha is not None else None,
        "the file of the state": str(path),
        "the runtime directory": str(directory.resolve()),
        "the network namespace": os.stat("/proc/self/ns/net").st_ino,
        "the user": os.geteuid(),
    }


def differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return on what the other process does not agree, as a part of a sentence; empty if there is nothing."""
    return ", ".join(name for name, value in mine.items() if other.get(name) != value)


class Lending:
    """`get_ready`, then `share`, then `write`; after each of the last two `take_back` leads back."""

    def __init__(
        self,
        drive: Drive,
        plane: TunPlane,
        offloading: Offloading,
        keeping: Keeping | None,
        facts: Mapping[str, Any],
    ) -> None:
        self._drive = drive
        self._plane = plane
        self._offloading = offloading
        self._keeping = keeping
        self._is_written = False
        self.facts = facts
        """See `facts_of`."""

    @property
    def hindrance(self) -> str:
        """Why nothing can be lent, as a sentence; empty if all can."""
        if self._keeping is None or not self._plane.grace:
            return KEEPS_NOTHING
        if not self._keeping.is_kept:
            return f"the state cannot be written to {self._keeping.path}, so that connections would be lost"
        return ""

    @property
    def has_programs(self) -> bool:
        """Whether there is a fast path, whose programs a successor has to exchange."""
        return bool(self._plane.fast.table.capacity)

    @property
    def lost(self) -> str:
        """Why this gateway could not take over what its predecessor has kept, as a sentence; empty if it could."""
        found = self._keeping.found if self._keeping else None
        return found.refused or found.trouble if found else KEEPS_NOTHING

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Those that the successor must inherit; see `ipmasq.gateway.heir.OPTION`."""
        return self._plane.lock, self._plane.reentry_device

    def get_ready(self) -> None:
        """Begin to write the state in as few records as possible, so that the successor has little to read."""
        if self._keeping is not None:
            self._keeping.compact()

    def is_ready(self) -> bool:
        """Go on with that. Return whether it is done."""
        return self._keeping is None or self._keeping.is_compact()

    def share(self) -> None:
        """Let the successor open the plane. This gateway goes on, but changes nothing of the host any more."""
        self._plane.lend()

    def write(self) -> str:
        """Write the state, and close the store. Return why it was not written; empty if it was. The loop must not turn
        before `take_back`. Raises PlaneError."""
        assert self._keeping is not None
        self._drive.carry_out(self._drive.engine.commands())
        self._drive.publish()
        self._is_written = True
        if self._keeping.lend():
            return ""
        return f"the state cannot be written to {self._keeping.path}"

    @property
    def changes(self) -> list[int] | None:
        """What has changed since `share`, as `TunPlane.changes` has it."""
        return self._plane.fast.changes

    def take_back(self) -> None:
        """Go on alone, when the successor has ended, whatever it has done. Raises PlaneError."""
        assert self._keeping is not None
        self._offloading.end(True)
        self._drive.reopen(self._plane.take_back)
        self._offloading.begin()
        if self._is_written:
            self._is_written = False
            self._keeping.go_on()
