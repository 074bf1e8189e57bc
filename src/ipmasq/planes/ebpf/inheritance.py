"""What a fast path takes over from an earlier process: its maps, or a copy of its table."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress

from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.migration import Migration, source
from ipmasq.planes.ebpf.pins import Pins
from ipmasq.planes.ebpf.table import Table
from ipmasq.planes.tun.plane import TunPlane

log = logging.getLogger("ipmasq")


class Inheritance:
    def __init__(self, plane: TunPlane, flows: int) -> None:
        """`plane` is open; the table is to hold so many flows."""
        self.pins: Pins | None = None
        """None if nothing is to outlive this process, or can."""
        self._trouble = ""
        try:
            directory = plane.pins()
        except OSError as error:
            self._trouble = str(error)
        else:
            self.pins = Pins(directory, 2 * flows) if directory is not None else None
        self._is_heir = plane.inherits
        self._migration: Migration | None = None
        self.maps: Mapping[str, int] = {}
        """Descriptors of the earlier process's maps, if they have this layout and size."""
        if self.pins is not None and self._is_heir:
            with suppress(OSError):
                self.maps = self.pins.found_maps()

    @property
    def has_maps(self) -> bool:
        return bool(self.maps)

    def close(self) -> None:
        """Close the descriptors. The programs that were loaded with the maps have their own."""
        for each in self.maps.values():
            os.close(each)

    def enter(self, loaded: libbpf.Object, table: Table) -> None:
        """Fill the table of the new programs, which are not attached yet, and pin its maps. Raises OSError."""
        if not self.has_maps:
            self._migrate(table)
            if self.pins is not None:
                self.pins.keep_maps(loaded)
        if table.inherits:
            table.heartbeat(
                time.monotonic()
            )  # the new programs go on with it from the first packet

    def finish(self) -> None:
        """Remove what is not needed any more, when the new programs are attached, and say what will end with this
        process."""
        if self._trouble:
            log.warning("the fast path will not outlive this process: no bpffs: %s", self._trouble)
        if self._migration is not None:
            self._migration.finish()
        if self.pins is not None:
            self.pins.sweep()

    def _migrate(self, table: Table) -> None:
        """Copy what an earlier process has entered into a table of another layout or size."""
        others = self.pins.others() if self.pins is not None and self._is_heir else []
        found = source(others)
        if found is not None:
            self._migration = Migration.open(*found, table)
        if self._migration is not None:
            slots = self._migration.copy()
            log.info("the fast path has a new table, with %d slots of the old one", slots)
        elif others:
            log.warning("the fast path begins anew: its table has a layout that is not known")
