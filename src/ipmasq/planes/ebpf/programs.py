"""Which eBPF programs there shall be, and whether the gateway may go on without them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ipmasq.planes.ebpf.fastpath import EbpfFastPath
from ipmasq.planes.fastpath import FastPath, NoFastPath
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import TunPlane

log = logging.getLogger("ipmasq")


@dataclass(frozen=True, slots=True)
class Programs:
    flows: int = 1_000_000
    """Room for so many."""
    xdp: bool | None = None
    """On every interface, or none, or (None) where it suits."""
    generic: bool = False
    """XDP behind the driver."""
    required: bool = True
    """Otherwise the plane does without them what must do without."""

    def start(self, plane: TunPlane) -> FastPath:
        """See `ipmasq.planes.tun.plane.Start`."""
        try:
            return EbpfFastPath(plane, self.flows, self.xdp, self.generic)
        except PlaneError as error:
            if self.required:
                raise
            log.warning("without the eBPF fast path: %s", error)
            return NoFastPath(str(error))
