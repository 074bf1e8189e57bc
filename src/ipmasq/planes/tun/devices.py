"""What outlives the process as descriptors: the two TUN devices of the plane, and the directory of pins."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ipmasq.core.side import Side
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.device import are_devices, open_tun
from ipmasq.planes.tun.holder import make_holder
from ipmasq.planes.tun.steering import DEVICE

log = logging.getLogger("ipmasq")

PINS = "pins"
"""The name of the directory of pins among the descriptors."""


class Devices:
    def __init__(self, directory: Path) -> None:
        """`directory` is that of the record of changes."""
        self.directory = directory
        self.descriptors: dict[Side, int] = {}
        self.sides: dict[int, Side] = {}
        """The inverse."""
        self.were_taken = False
        """Whether they are those of an earlier process."""
        self._holder = make_holder(directory)
        self._grace = 0.0
        self._pins = -1

    def take(self) -> bool:
        """Take the devices of an earlier process. Return whether there are both; otherwise the kernel removes them."""
        if self._take():
            return True
        self.release()
        return False

    def borrow(self) -> None:
        """Use the devices of an earlier process, which may go on with them. Raises PlaneError."""
        if not self._take():
            raise PlaneError("the process that keeps the devices (keeper.py) does not answer")

    def _take(self) -> bool:
        given = self._holder.take()
        if are_devices(given, DEVICE.values()):
            for side, name in DEVICE.items():
                self._use(side, given[name])
            self.were_taken = True
            self._pins = given.get(PINS, -1)
            return True
        for descriptor in given.values():
            os.close(descriptor)
        return False

    def release(self) -> None:
        """Close an earlier process's devices, which the kernel then removes."""
        self._holder.end()

    def open(self, grace: float) -> None:
        """Create those that were not taken. They outlive this process by `grace` seconds. Raises PlaneError."""
        for side, name in DEVICE.items():
            if side not in self.descriptors:
                self._use(side, open_tun(name))
        self._grace = grace
        if not grace:
            self._holder.end()
            return
        try:
            self._hold()
        except OSError as error:
            log.warning("no packet will wait for a successor of this process: %s", error)

    @property
    def pins(self) -> Path | None:
        """The directory of pins by its descriptor, which is the same one in whichever mount namespace it was made; None
        if there is none."""
        if self._pins < 0 or not os.fstat(self._pins).st_nlink:
            return None
        return Path(f"/proc/self/fd/{self._pins}")

    def keep_pins(self, directory: Path | None) -> None:
        """Keep this directory of pins as long as the devices; None: no one. Raises OSError."""
        before, self._pins = self._pins, -1
        if before < 0 and directory is None:
            return
        if before >= 0:
            os.close(before)
        if directory is not None:
            self._pins = os.open(directory, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if self._grace:
            with suppress(OSError):  # `open` has said that nothing is held
                self._hold()

    def look(self) -> None:
        """Let another process hold them if the one that does was killed. Never raises."""
        if not (self.descriptors and self._grace and self._holder.has_gone()):
            return
        try:
            self.renew()
        except OSError as error:
            log.warning("no packet will wait for a successor of this process: %s", error)
        else:
            log.warning(
                "the process that keeps the devices (keeper.py) was killed, and another one keeps them now"
            )

    def renew(self) -> None:
        """Let another process hold them, so that the mount namespace of the present one can end. Raises OSError."""
        self._holder.end()
        self._hold()

    def close(self) -> None:
        """Close them, so that the kernel removes them."""
        self._close(self._holder.end)

    def leave(self) -> None:
        """Leave them to a successor."""
        self._close(self._holder.leave)

    def lend(self) -> None:
        """Leave them to a successor, which has to come as long as this process lives, and the usual time after it."""
        self._close(lambda: None)

    def _hold(self) -> None:
        held = {DEVICE[side]: each for side, each in self.descriptors.items()}
        self._holder.hold(held | ({PINS: self._pins} if self._pins >= 0 else {}), self._grace)

    def _use(self, side: Side, descriptor: int) -> None:
        self.descriptors[side] = descriptor
        self.sides[descriptor] = side

    def _close(self, release: Callable[[], None]) -> None:
        for descriptor in (*self.sides, *([self._pins] if self._pins >= 0 else ())):
            os.close(descriptor)
        self._pins = -1
        self.descriptors.clear()
        self.sides.clear()
        release()


@contextmanager
def lent_pins(directory: Path) -> Iterator[Path | None]:
    """Yield the directory of pins of an earlier process, which goes on with it; None if there is none. Raises
    PlaneError."""
    held = Devices(directory)
    held.borrow()
    try:
        yield held.pins
    finally:
        held.leave()
