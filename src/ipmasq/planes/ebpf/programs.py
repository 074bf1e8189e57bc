"""Which eBPF programs to use, and whether the gateway may run without them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.devices import look_up
from ipmasq.planes.ebpf.fastpath import EbpfFastPath
from ipmasq.planes.ebpf.loading import load, needed
from ipmasq.planes.fastpath import FastPath, NoFastPath
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import Start, TunPlane

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

    def prepare(self, plane: TunPlane) -> Callable[[], Start]:
        """See `ipmasq.planes.tun.plane.Start`."""
        programs = self._needed(plane)

        def prepared() -> Start:
            try:
                return replace(self, ahead=[load(self.flows, programs)])
            except PlaneError as error:
                return replace(self, ahead=[error])

        return prepared

    def start(self, plane: TunPlane) -> FastPath:
        """See `ipmasq.planes.tun.plane.Start`."""
        try:
            return EbpfFastPath(plane, self._load(plane), self.flows, self.xdp, self.generic)
        except PlaneError as error:
            if self.required:
                raise
            log.warning("without the eBPF fast path: %s", error)
            return NoFastPath(str(error))

    def _load(self, plane: TunPlane) -> libbpf.Object:
        """Return the loaded programs. Raises PlaneError."""
        found = self.ahead.pop() if self.ahead else load(self.flows, self._needed(plane))
        if isinstance(found, PlaneError):
            raise found
        return found

    def _needed(self, plane: TunPlane) -> list[str]:
        """Return the programs for the plane's interfaces."""
        where = plane.where
        sides = {where.outside: Side.OUTSIDE} | dict.fromkeys(where.inside, Side.INSIDE)
        found = [(look_up(plane.kernel, name), side) for name, side in sides.items()]
        return list(needed(((device, side) for device, side in found if device), self.xdp))
