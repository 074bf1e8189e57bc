"""Fills the fast path with flows that a takeover has read, before there is an index of them, and an engine.

To read a million flows takes a second or two, and to index them longer. A member that has followed has done both before
it takes over. One that has not lets the fast path forward what it has read while the rest lasts, as it does while no
gateway runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from math import inf

from ipmasq.continuity.follower import Follower
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.offloading import FILLED_AT_ONCE, Offloading
from ipmasq.gateway.serving import Serving
from ipmasq.offload.offload import Offloader

log = logging.getLogger("ipmasq")


class Ahead:
    def __init__(self, loop: Loop, offloading: Offloading) -> None:
        self._loop, self._offloading = loop, offloading
        self._serving: Serving | None = None
        self._filled: Offloader | None = None
        """What has been filled for it."""

    @property
    def until(self) -> float:
        """Until when the fast path may forward this: as long as the lease lasts under which it was read."""
        return self._serving.fence.until if self._serving is not None else -inf

    def begin(self, serving: Serving, follower: Follower) -> None:
        """Fill in what was read, between packets, and then have it indexed; at once if there is nothing to fill. May be
        called again and again."""
        if self._serving is serving:
            return
        if self._serving is not None or not self._offloading.can_fill:
            follower.index()
            return
        self._serving, self._filled = serving, self._offloading.offloader
        self._go_on(self._filled, follower, follower.held.newest(FILLED_AT_ONCE))

    def _go_on(self, offloader: Offloader, follower: Follower, rows: Iterator[bytes]) -> None:
        # Before anything that can fail, or the follower would wait for ever.
        again = self._loop.later(0, partial(self._go_on, offloader, follower, rows))
        is_present = self._filled is offloader is self._offloading.offloader
        some = next(rows, None) if is_present else None
        if some is None:
            again.cancel()
            if is_present:
                log.info("the fast path forwards what was read; the engine follows")
            follower.index()
            return
        offloader.fill(some)

    def is_for(self, serving: Serving) -> bool:
        """Whether this takeover is the one that is expected."""
        return self._serving is serving

    def end(self, serving: Serving | None = None) -> bool:
        """Expect nothing any more. Return whether the fast path has been filled for this takeover."""
        is_filled = self._serving is serving and self._filled is self._offloading.offloader
        self._serving = self._filled = None
        return is_filled
