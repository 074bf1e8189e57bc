"""The fast path while the gateway runs: what it forwards, its counters, its limits, and its replacement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice

from ipmasq.gateway.drive import Drive
from ipmasq.gateway.floods import Floods
from ipmasq.offload.offload import Marks, Offloader
from ipmasq.planes.fastpath import Counter
from ipmasq.planes.tun.plane import Start, TunPlane

READ_PAUSE = 0.02
"""Seconds between two parts of a round of reading the counters."""

AT_ONCE = 200
"""Flows that are entered into a new fast path before packets have their turn: about 2 ms."""


class Offloading:
    def __init__(self, drive: Drive, plane: TunPlane) -> None:
        self._drive = drive
        self._engine, self._loop = drive.engine, drive.loop
        self._plane = plane
        self.offloader = Offloader(self._engine, plane.fast.table, self._loop.clock)
        """The present fast path's."""
        self._floods = Floods(plane.fast)
        self._reading = self._catching_up = False
        self.is_restored: Callable[[], bool] = lambda: True
        """Whether the engine knows all flows that are to continue."""
        self.marks: Mapping[int, Marks] = {}
        """Those of an earlier process whose slots the fast path may inherit (see `Offloader`)."""

    def begin(self) -> None:
        """Use the plane's present fast path."""
        fast = self._plane.fast
        marks, self.marks = self.marks, {}
        self.offloader = offloader = Offloader(self._engine, fast.table, self._loop.clock, marks)
        self._floods = Floods(fast)
        self._drive.executors.append(offloader.carry_out)
        offloader.tick(self._drive.until)
        flows = list(self._engine.table.flows) if fast.table.capacity else ()
        self._catch_up(offloader, iter(flows))

    def enter(self, flows: Iterable[int]) -> None:
        """Enter flows that have come beside those that it has."""
        self._catch_up(self.offloader, iter(flows))

    def _catch_up(self, offloader: Offloader, flows: Iterator[int]) -> None:
        """Enter flows that are older than the fast path, a few at a time so that no packet waits long."""
        if offloader is not self.offloader:
            return  # it was replaced by another one
        some = list(islice(flows, AT_ONCE))
        self._catching_up = bool(some)
        if some:
            self._loop.later(0, partial(self._catch_up, offloader, flows))
            for flow in some:
                self._engine.restate(flow)
        else:
            self.set_rates()
            self._discard(offloader)

    def _discard(self, offloader: Offloader) -> None:
        """Empty what an earlier process has left of flows that are not alive, a few at a time, when all flows are
        restored."""
        if offloader is self.offloader and (not self.is_restored() or offloader.discard()):
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
        self.offloader.limit(self._drive.until)

    def forget(self) -> None:
        """Remove all flows from the fast path, since the engine begins anew; then `begin`."""
        self.offloader.forget()
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

    def look(self) -> None:
        """Renew the heartbeat, read the counters, and look for floods; called about once a second."""
        self.offloader.tick(self._drive.until)
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
            yield Counter("offloaded", self.offloader.packets, offloaded)
            yield Counter("refused", self.offloader.refused, refused)
        yield from fast.counters()
