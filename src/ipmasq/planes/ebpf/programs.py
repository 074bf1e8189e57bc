"""Which eBPF programs to use, and whether the gateway may run without them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.devices import look_up
from ipmasq.planes.ebpf.fastpath import EbpfFastPath
from ipmasq.planes.ebpf.inheritance import Inheritance
from ipmasq.planes.ebpf.loading import load, needed
from ipmasq.planes.ebpf.pins import Pins
from ipmasq.planes.fastpath import FastPath, NoFastPath
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.planes.tun.start import Start

log = logging.getLogger("ipmasq")


@dataclass(frozen=True, slots=True)
class Programs:
    flows: int = 1_000_000
    """The number of flows that the table holds."""
    xdp: bool | None = None
    """Whether to use XDP on every interface or on none; None means where it is supported."""
    generic: bool = False
    """Whether to use generic XDP."""
    required: bool = True
    """Whether to fail without programs; otherwise the plane is used alone."""
    ahead: list[libbpf.Object | PlaneError] = field(default_factory=list, compare=False)
    """What was loaded before the start, or why it could not be. The start takes it from here."""
    ahead_for_maps: bool = field(default=False, compare=False)
    """Whether it was loaded for the maps of an earlier process."""

    def prepare(self, plane: TunPlane) -> Callable[[], Start]:
        """See `ipmasq.planes.tun.start.Start`."""
        programs = self._needed(plane)

        def prepared() -> Start:
            try:
                return replace(self, ahead=[load(self.flows, programs)])
            except PlaneError as error:
                return replace(self, ahead=[error])

        return prepared

    def inherit(self, plane: TunPlane, pins: Path | None) -> Start:
        """See `ipmasq.planes.tun.start.Start`."""
        maps: Mapping[str, int] = {}
        if pins is not None:
            with suppress(OSError):
                maps = Pins(pins, 2 * self.flows).found_maps()
        try:
            loaded = load(self.flows, self._needed(plane), maps)
        except PlaneError:
            if self.required:
                raise
            return self
        finally:
            for each in maps.values():
                os.close(each)
        return replace(self, ahead=[loaded], ahead_for_maps=bool(maps))

    def start(self, plane: TunPlane) -> FastPath:
        """See `ipmasq.planes.tun.start.Start`."""
        try:
            with closing(Inheritance(plane, self.flows)) as inheritance:
                loaded = self._load(plane, inheritance.maps)
                return EbpfFastPath(plane, loaded, self.flows, self.xdp, self.generic, inheritance)
        except PlaneError as error:
            plane.unpin()  # what an earlier process has left there, too
            if self.required:
                raise
            log.warning("without the eBPF fast path: %s", error)
            return NoFastPath(str(error))

    def _load(self, plane: TunPlane, maps: Mapping[str, int]) -> libbpf.Object:
        """Return the loaded programs. Raises PlaneError."""
        found = self.ahead.pop() if self.ahead else None
        if isinstance(found, PlaneError):
            raise found
        if found is not None and self.ahead_for_maps == bool(maps):
            return found
        if found is not None:
            found.close()
        return load(self.flows, self._needed(plane), maps)

    def _needed(self, plane: TunPlane) -> list[str]:
        """Return the programs for the plane's interfaces."""
        where = plane.where
        sides = {where.outside: Side.OUTSIDE} | dict.fromkeys(where.inside, Side.INSIDE)
        found = [(look_up(plane.kernel, name), side) for name, side in sides.items()]
        return list(needed(((device, side) for device, side in found if device), self.xdp))
