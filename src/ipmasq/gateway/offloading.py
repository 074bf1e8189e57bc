"""The fast path while the gateway runs: what it forwards, its counters, its limits, and its replacement."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from math import inf

from ipmasq.gateway import garbage
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.floods import Floods
from ipmasq.offload.offload import Offloader
from ipmasq.planes.fastpath import Counter
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.planes.tun.start import WITHOUT, Start

log = logging.getLogger("ipmasq")

READ_PAUSE = 0.02
"""Seconds between two parts of a round of reading the counters."""

AT_ONCE = 200
"""Flows that are entered into a new fast path before packets have their turn: about 2 ms."""


FILLED_AT_ONCE = 8000
"""Flows of an earlier process that are entered by their rows before packets have their turn: about 2 ms, too."""


RESTORED_AT_ONCE = 50
"""Flows of an earlier process that are restored before packets have their turn: about 2 ms, too."""


class Offloading:
    EVERY = 1.0
    """Seconds between two calls of `look`, which reads the counters unless that is under way."""

    def __init__(self, drive: Drive, plane: TunPlane) -> None:
        self._drive = drive
        self._engine, self._loop = drive.engine, drive.loop
        self._plane = plane
        self.offloader = Offloader(self._engine, plane.fast.table, self._loop.clock)
        """The present fast path's."""
        self._floods = Floods(plane.fast)
        self.takes_over = False
        """Whether takeovers are expected, so that what they need is made ready."""
        self._reading = self._catching_up = False
        self._unentered: Iterator[int] = iter(())
        """Flows that the fast path may not know yet."""
        self._unfilled: Iterator[bytes] = iter(())
        """Rows of flows that are not restored yet, likewise."""
        self._is_forgotten = False
        """Whether what is left in the fast path belongs to no flow."""
        self.ahead_until = -inf
        """Until when the fast path may forward although the gateway may not: see `ipmasq.gateway.ahead`."""

    def begin(self) -> None:
        """Use the plane's present fast path."""
        fast = self._plane.fast
        is_heir = not self._is_forgotten
        self.offloader = Offloader(self._engine, fast.table, self._loop.clock, is_heir)
        offloader, is_filled = self.offloader, is_heir and fast.table.inherits
        self._floods = Floods(fast)
        self._drive.executors.append(offloader.carry_out)
        offloader.tick(self._until)
        flows = list(self._engine.table.flows) if fast.table.capacity else ()
        self._unentered = iter(flows)
        self._unfilled = iter(()) if is_filled else self._waiting()
        if self.takes_over and not fast.table.can_fill:
            log.debug("a takeover enters flows one by one")
        garbage.keep_new()  # after a takeover, the index of a million flows, which would be looked through in the middle
        self._catch_up(offloader)

    def enter(self, flows: Iterable[int]) -> None:
        """Enter flows that have come beside those that it has."""
        self._unentered, self._unfilled = chain(self._unentered, flows), self._waiting()
        if not self._is_forgotten:
            self.offloader.expect()
        if not self._catching_up:
            self._catch_up(self.offloader)

    def _catch_up(self, offloader: Offloader) -> None:
        """Enter flows that are older than the fast path, and restore those of an earlier process, a few at a time so that
        no packet waits long."""
        if offloader is not self.offloader:
            return  # it was replaced by another one
        if self._fill(offloader):
            self._catching_up = True
            self._loop.later(0, partial(self._catch_up, offloader))
            return
        some = list(islice(self._unentered, AT_ONCE)) or self._restored(offloader)
        self._catching_up = bool(some) or not self._engine.is_restored
        if self._catching_up:
            self._loop.later(0, partial(self._catch_up, offloader))
            for flow in some:
                self._engine.restate(flow)
            # At once, since what is not taken over is discarded in the end.
            self._drive.carry_out(self._engine.commands())
        else:
            self.set_rates()
            self._discard(offloader)

    def _waiting(self) -> Iterator[bytes]:
        """Yield the rows with which the fast path can be filled."""
        unrestored = self._engine.table.unrestored
        if unrestored is None or not self._plane.fast.table.can_fill:
            return iter(())
        return unrestored.rows(FILLED_AT_ONCE)

    def _fill(self, offloader: Offloader) -> bool:
        """Enter some flows that wait in the engine, by their rows, once nothing is left that belongs to no flow. Return
        whether there may be more."""
        if self._is_forgotten:
            self._is_forgotten = offloader.discard()
            if not self._is_forgotten:
                offloader.expect()
                self.limit()
        elif (rows := next(self._unfilled, None)) is not None:
            offloader.fill(rows)
        else:
            return False
        return True

    def _restored(self, offloader: Offloader) -> list[int]:
        """Restore some flows of an earlier process. Return which ones the fast path may know."""
        fresh = self._engine.restore_some(RESTORED_AT_ONCE)
        garbage.keep_new()
        return fresh if offloader.room else []

    def _discard(self, offloader: Offloader) -> None:
        """Empty what an earlier process has left of flows that are not alive, a few at a time, when all flows are
        restored."""
        if offloader is self.offloader and (not self._engine.is_restored or offloader.discard()):
            self._loop.later(READ_PAUSE, partial(self._discard, offloader))

    def set_rates(self) -> None:
        """Set the policer's rates to the policy's, only after flows are entered: before, their packets are
        untracked."""
        if not self._catching_up:
            self._plane.fast.set_rates(self._engine.policy.limits)

    def end(self, is_kept: bool = False) -> None:
        """Stop using it. The counters are read for the last time, unless `is_kept`: a successor will read on."""
        if not is_kept:
            self._plane.fast.halt()
        self._drive.carry_out(self._engine.commands())
        self._drive.executors.remove(self.offloader.carry_out)
        self.offloader.stop()

    def limit(self) -> None:
        """Let the fast path forward only as long as the gateway may."""
        self.offloader.limit(self._until)

    @property
    def _until(self) -> float:
        """Until when the fast path may forward: not at all while it has flows that the engine may have ended."""
        return -inf if self._is_forgotten else max(self._drive.until, self.ahead_until)

    @property
    def can_fill(self) -> bool:
        """Whether the fast path can be filled with flows that the next engine will have: not while it is emptied."""
        return not (self._catching_up or self._is_forgotten) and self._plane.fast.table.can_fill

    def forget(self) -> None:
        """Remove all flows from the fast path, since the engine begins anew; then `begin`."""
        self._is_forgotten = True
        self.offloader.forget()
        self.pass_on()

    def pass_on(self) -> None:
        """Leave what is in the fast path to the next engine; then `begin`."""
        self._drive.executors.remove(self.offloader.carry_out)
        self.offloader.stop()

    def change(self, wanted: Start) -> None:
        """Replace the fast path if it is not the wanted one. Raises PlaneError; then the previous one stays."""
        if not self._plane.lacks(wanted):
            return
        self.end()
        self._drive.unwatch()
        try:
            self._plane.change(wanted)
        finally:
            self._drive.watch()
            self.begin()

    def start_late(self) -> None:
        """Start the fast path that could not be started beside that of the predecessor, which has ended now."""
        try:
            if self._plane.late is not WITHOUT:
                self.change(self._plane.late)
        except PlaneError as error:
            log.error("without a fast path: %s", error)

    def look(self) -> None:
        """Renew the heartbeat, read the counters, and look for floods; called about once a second."""
        self.offloader.tick(self._until)
        if not self._reading:
            self._read_on()
        self._floods.look(self._loop.clock())

    def _read_on(self) -> None:
        self._reading = False  # so that it starts again if this fails
        self._reading = self.offloader.read_on()
        if self._reading:
            self._loop.later(READ_PAUSE, self._read_on)

    def counters(self) -> Iterable[Counter]:
        """Yield its counters: see `ipmasq.control.gateway.RunningGateway`."""
        fast = self._plane.fast
        if fast.table.capacity:
            offloaded = "forwarded by the fast path, as the engine decided"
            refused = "flows for which the fast path had no room"
            yield Counter("offloaded", self.offloader.tally.packets, offloaded)
            yield Counter("refused", self.offloader.refused, refused)
        yield from fast.counters()
