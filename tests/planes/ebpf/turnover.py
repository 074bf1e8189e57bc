"""Flows come and go at random in the table of programs that are judged meanwhile (oracle.py)."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from random import Random

from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.layout import Use
from ipmasq.planes.ebpf.slots import Slots, room
from tests.planes.ebpf.oracle import FLOWS, WIRES, Oracle, key

CAPACITY = 8
"""16 homes for 64 flows: most stand behind, and far behind, what rests."""
REST = 0.1
"""Seconds between calls of `reclaim`. Less than one, so that more comes and goes; no program takes so long."""
TIRED = 40
"""So many may go in between. If all slots rested, nothing would happen any more."""
LINGER = 10_000
"""Nanoseconds."""


class Lingering(mmap.mmap):
    """Each state between two stores is there for long enough to be seen."""

    def __setitem__(self, at: int | slice, value: int | bytes) -> None:  # type: ignore[override]
        super().__setitem__(at, value)  # type: ignore[index,assignment]
        end = time.perf_counter_ns() + LINGER
        while time.perf_counter_ns() < end:
            pass


class Turnover:
    def __init__(self, oracle: Oracle, make: type[Slots], lingers: bool, seed: int) -> None:
        """`make`: what writes."""
        table = oracle.kernel.table
        homes, secret = table.slots.homes, (table.slots.seed, table.slots.factor)
        size = room(homes) * (layout.Key.size + layout.Half.size)
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = (Lingering if lingers else mmap.mmap)(oracle.kernel.loaded.map("slots"), pages)
        self.slots = table.slots = make(memory, homes, *secret)
        self.oracle, self._whim = oracle, Random(seed)
        self.wires = [flow * WIRES for flow in range(FLOWS)]
        """The latest of each flow."""
        self.filled: dict[int, int] = {}
        self.offloaded: set[int] = set()
        self.entered = self.displaced = 0

    def work(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        now = reclaim = time.monotonic()
        end = now + seconds
        while now < end and not enough():
            if now >= reclaim:
                self.oracle.kernel.table.heartbeat(now)
                reclaim = now + REST
            self._do_anything()
            now = time.monotonic()

    def _do_anything(self) -> None:
        flow, what = self._whim.randrange(FLOWS), self._whim.randrange(4)
        if flow not in self.filled:
            self.enter(flow)
        elif what < 2 or len(self.slots._retired) + len(self.slots._hurried) >= TIRED:
            self._end(flow) if flow in self.offloaded else self._repeat(flow)
        else:
            self._remove(flow)
            if what == 2:
                self.enter(flow)

    def enter(self, flow: int) -> None:
        """By its next wire; not if there is no room."""
        self.oracle.kernel.table.make_room()
        wire = self.wires[flow] = flow * WIRES + (self.wires[flow] + 1) % WIRES
        self.oracle.may_use(wire)
        slot = self.slots.insert(key(flow), self.oracle.half(wire), Use.OFFLOADED)
        if slot is None:
            self.oracle.may_use_no_more(wire)
            return
        self.oracle.must_repeat(flow)
        self.filled[flow] = slot
        self.offloaded.add(flow)
        self.entered += 1
        self.displaced += slot != self.slots.home(key(flow))

    def _repeat(self, flow: int) -> None:
        self.oracle.may_use(self.wires[flow])
        self.slots.use(self.filled[flow], Use.OFFLOADED)
        self.oracle.must_repeat(flow)
        self.offloaded.add(flow)

    def _end(self, flow: int) -> None:
        self.oracle.need_not_repeat(flow)
        self.slots.use(self.filled[flow], Use.TRACKED)
        self.oracle.may_use_no_more(self.wires[flow])
        self.offloaded.discard(flow)

    def _remove(self, flow: int) -> None:
        self.oracle.need_not_repeat(flow)
        self.slots.remove(self.filled.pop(flow))
        if flow in self.offloaded:
            self.oracle.may_use_no_more(self.wires[flow])
        self.offloaded.discard(flow)
