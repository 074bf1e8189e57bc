"""The two TUN devices of the plane, which may be those of an earlier process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from ipmasq.core.side import Side
from ipmasq.planes.tun.device import are_devices, open_tun
from ipmasq.planes.tun.holder import make_holder
from ipmasq.planes.tun.steering import DEVICE

log = logging.getLogger("ipmasq")


class Devices:
    def __init__(self, directory: Path) -> None:
        """`directory` is that of the record of changes."""
        self.descriptors: dict[Side, int] = {}
        self.sides: dict[int, Side] = {}
        """The inverse."""
        self._holder = make_holder(directory)

    def take(self) -> bool:
        """Take the devices of an earlier process. Return whether there are both."""
        given = self._holder.take()
        if are_devices(given, DEVICE.values()):
            for side, name in DEVICE.items():
                self._use(side, given[name])
            return True
        for descriptor in given.values():
            os.close(descriptor)
        self.release()
        return False

    def release(self) -> None:
        """Let an earlier process's devices disappear."""
        self._holder.end()

    def open(self, grace: float) -> None:
        """Create those that were not taken. They outlive this process by `grace` seconds. Raises PlaneError."""
        for side, name in DEVICE.items():
            if side not in self.descriptors:
                self._use(side, open_tun(name))
        if not grace:
            self._holder.end()
            return
        try:
            self._holder.hold(
                {DEVICE[side]: each for side, each in self.descriptors.items()}, grace
            )
        except OSError as error:
            log.warning("no packet will wait for a successor of this process: %s", error)

    def close(self) -> None:
        """Let them disappear."""
        self._close(self._holder.end)

    def leave(self) -> None:
        """Leave them to a successor."""
        self._close(self._holder.leave)

    def _use(self, side: Side, descriptor: int) -> None:
        self.descriptors[side] = descriptor
        self.sides[descriptor] = side

    def _close(self, release: Callable[[], None]) -> None:
        for descriptor in self.sides:
            os.close(descriptor)
        self.descriptors.clear()
        self.sides.clear()
        release()
