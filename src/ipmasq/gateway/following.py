"""Follows changes of the host's interfaces and addresses while the gateway runs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ipmasq.gateway.host import Changes
from ipmasq.gateway.loop import Loop, Timer
from ipmasq.gateway.setup import SetupError
from ipmasq.planes.plane import PlaneError

log = logging.getLogger("ipmasq")

SETTLING = 0.2
"""Seconds to wait after a change of interfaces, since such changes come in bursts."""

RETRY = 1.0


class Following:
    def __init__(
        self, loop: Loop, adapt: Callable[[], None], changes: Changes | None = None
    ) -> None:
        """`adapt` is called after each burst of changes, and again until it succeeds. It may raise SetupError and
        PlaneError. Changes are noticed from the creation of this object on, or from that of `changes`."""
        self._loop, self._adapt = loop, adapt
        self._changes = changes or Changes()
        self._settling: Timer | None = None

    def begin(self) -> None:
        self._loop.watch(self._changes.fileno(), self._changed)

    def end(self) -> None:
        self._loop.unwatch(self._changes.fileno())
        self._changes.close()

    def _changed(self) -> None:
        self._changes.drain()
        if self._settling is None:
            self._settling = self._loop.later(SETTLING, self._attempt)

    def _attempt(self) -> None:
        self._settling = self._loop.later(RETRY, self._attempt)  # unless this attempt succeeds
        try:
            self._adapt()
        except (PlaneError, SetupError) as error:
            log.error("%s (trying again)", error)
            return
        self._settling.cancel()
        self._settling = None
