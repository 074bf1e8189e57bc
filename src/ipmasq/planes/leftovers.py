"""What a gateway that was killed has left in this network namespace, and how it is undone.

TUN devices and links of programs end with the process. Kernel settings, routing rules, routes and proxy entries
do not, nor do pinned programs; they are on record, and without one, all but the settings are found (`unrecorded`). Nor do filters of tc(8),
which Linux before 6.6 has in the place of links.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pyroute2 import IPRoute

from ipmasq.planes.ebpf.attach import DIRECTIONS, remove_filters
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.changes import Change, told
from ipmasq.planes.tun.explained import explained
from ipmasq.planes.tun.holder import make_holder
from ipmasq.planes.tun.journal import Journal, holder, recorded
from ipmasq.planes.tun.record import DIRECTORY, record_in
from ipmasq.planes.tun.unrecorded import abandoned


class Leftovers(NamedTuple):
    changes: Sequence[Change] = ()
    filters: int = 0
    """Filters of tc(8) at interfaces. They are counted when they are removed."""

    def __bool__(self) -> bool:
        return bool(self.changes or self.filters)

    def __str__(self) -> str:
        filters = f", {self.filters} filters at interfaces" if self.filters else ""
        return told(self.changes) + filters


NOTHING = Leftovers()


def find_leftovers(directory: Path = DIRECTORY) -> Leftovers:
    """Return what is on record of a gateway that no longer runs. Needs no rights. Raises PlaneError if the record
    cannot be read."""
    with explained():
        record = record_in(directory)
        if holder(record) is not None:
            return NOTHING
        known = recorded(record)
        with IPRoute() as kernel:
            others = abandoned(kernel, directory)
            return Leftovers((*known, *(each for each in others if each not in known)))


def undo_leftovers(directory: Path = DIRECTORY) -> Leftovers:
    """Undo what a killed gateway has left, and return it. Does nothing if there is nothing, and takes the place of
    a gateway meanwhile, so that none can start.

    Raises PlaneError if a gateway runs here, rights are missing, or something cannot be undone.
    """
    with explained():
        record = record_in(directory)
        with IPRoute() as kernel:
            has_record = record.exists() or holder(record) is not None
            if not has_record and not abandoned(kernel, directory):
                return NOTHING
            journal = Journal(kernel, directory)
            make_holder(directory).end()  # The devices are gone with the process that keeps them.
            try:
                journal.adopt(unrecorded := abandoned(kernel, directory))
                found = *journal.leftovers, *unrecorded
                return Leftovers(found, _remove_filters(kernel))
            finally:
                journal.close()


def _remove_filters(kernel: IPRoute) -> int:
    indices = [link["index"] for link in kernel.get_links()]
    return sum(remove_filters(kernel, index, each) for index in indices for each in DIRECTIONS)


__all__ = ["Leftovers", "PlaneError", "find_leftovers", "undo_leftovers"]
