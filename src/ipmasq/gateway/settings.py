"""Restores kernel settings, rules and routes that other software has changed, and reports them as events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ipmasq.core.engine import Engine
from ipmasq.core.events import SettingRestored
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.planes.tun.watched import Restored

log = logging.getLogger("ipmasq")


class Settings:
    EVERY = 2.0
    """Seconds between two calls of `look`."""

    def __init__(self, plane: TunPlane, engine: Engine, clock: Callable[[], float]) -> None:
        self._plane = plane
        self._engine = engine
        self._clock = clock
        self.restored = 0
        """How many were found changed since the start."""
        self._wrong: dict[str, Restored] = {}
        """Those that cannot be restored, by name."""
        self._begun = False

    def begin(self) -> None:
        """Log what the gateway has changed, and log later changes as they come. To be called when everything has
        begun, since the fast path changes some settings, too."""
        self._begun = True
        self.look()

    def look(self) -> None:
        """Check all of them; called every few seconds. One that cannot be restored is reported once."""
        try:
            found = self._plane.restore()
        except PlaneError as error:
            log.error("%s", error)
            return
        self.restored += len(found)
        for each in found:
            if not each.trouble or each.setting not in self._wrong:
                self._engine.note(SettingRestored(self._clock(), *each[:3], trouble=each.trouble))
        self._wrong = {each.setting: each for each in found if each.trouble}
        if self._begun:
            self._plane.log_settings()

    def wrong(self) -> Sequence[str]:
        """Return a description of each that cannot be restored."""
        return [each.what_is_wrong() for each in self._wrong.values()]
