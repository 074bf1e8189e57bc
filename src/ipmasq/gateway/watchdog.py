"""systemd's watchdog (sd_watchdog_enabled(3)). It is notified when packets are forwarded, not just because
the process runs."""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable, Mapping, Sequence

from ipmasq.gateway.host import notify_systemd
from ipmasq.gateway.loop import Loop

log = logging.getLogger("ipmasq")

AGAIN = 10
"""A stall is checked again after this fraction of the usual time, as a packet may have arrived just now."""


class Watchdog:
    """Notifies systemd. `handled` returns how many packets were handled so far; `descriptors` are those where
    packets wait."""

    def __init__(
        self, handled: Callable[[], int], descriptors: Callable[[], Sequence[int]]
    ) -> None:
        self._handled, self._descriptors = handled, descriptors
        self._before = handled()
        self._looks = 0
        """How often in a row packets waited and none was handled."""

    def begin(self, loop: Loop, environment: Mapping[str, str] = os.environ) -> None:
        """Begin to notify. Does nothing unless systemd asked this process for it."""
        interval = asked_for(environment)
        if interval is None:
            return
        half = interval / 2

        def look() -> None:
            fed = False
            try:
                fed = self.feed()
            finally:
                loop.later(half if fed else half / AGAIN, look)

        loop.later(0, look)

    def feed(self) -> bool:
        """Notify systemd if packets are handled or none waits. Return whether it was notified."""
        handled = self._handled()
        if handled == self._before and _waiting(self._descriptors()):
            self._looks += 1
            if self._looks == 2:
                log.error("packets wait and none is handled: systemd is not told that all is well")
            return False
        self._before, self._looks = handled, 0
        notify_systemd("WATCHDOG=1")
        return True


def asked_for(environment: Mapping[str, str]) -> float | None:
    """Return the seconds within which systemd expects a notification; None if it expects none."""
    wanted, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not (wanted.isdigit() and int(wanted)) or process not in ("", str(os.getpid())):
        return None
    return int(wanted) / 1_000_000


def _waiting(descriptors: Sequence[int]) -> bool:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(0))
