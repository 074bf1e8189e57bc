"""Which eBPF programs to use, and whether the gateway may run without them."""

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
    """The number of flows that the table holds."""
    xdp: bool | None = None
    """Whether to use XDP on every interface or on none; None means where it is supported."""
    generic: bool = False
    """Whether to use generic XDP."""
    required: bool = True
    """Whether to fail without programs; otherwise the plane is used alone."""

    def start(self, plane: TunPlane) -> FastPath:
        """See `ipmasq.planes.tun.plane.Start`."""
        try:
            return EbpfFastPath(plane, self.flows, self.xdp, self.generic)
        except PlaneError as error:
            if self.required:
                raise
            log.warning("without the eBPF fast path: %s", error)
            return NoFastPath(str(error))
