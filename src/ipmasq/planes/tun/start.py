"""How the fast path of a tun plane is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ipmasq.planes.fastpath import FastPath, NoFastPath

if TYPE_CHECKING:
    from ipmasq.planes.tun.plane import TunPlane


class Start(Protocol):
    """Starts the fast path of a plane."""

    def prepare(self, plane: TunPlane) -> Callable[[], Start]:
        """Return a function that does what takes long and needs no plane, so that another thread can call it.
        It returns a Start that no longer has to do this once."""

    def inherit(self, plane: TunPlane, pins: Path | None) -> Start:
        """Do now what takes long, for the maps that an earlier process has in these `pins` and still uses. Return a
        Start that no longer has to do it. Raises PlaneError."""

    def start(self, plane: TunPlane) -> FastPath:
        """Start a fast path for an open plane. Raises PlaneError; then nothing is left behind."""


WITHOUT = NoFastPath()
