"""The gateway of a soak: `ipmasq run` with impairment before its engine, and facts on request.

`python -m tests.soak.gateway CONFIG DIRECTORY PLANE SEED FAULTS [--diagnose]`, FAULTS as JSON for
`ipmasq.planes.fault.Faults`. On SIGUSR1 it writes one line of JSON with facts to its standard output, on
SIGRTMIN the same after `Engine.check`. With `--diagnose` the second also tells where memory was allocated.
At the end it writes how many objects only a full collection finds to be garbage.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import signal
import sys
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from ipmasq.config import load
from ipmasq.control.control import Control
from ipmasq.control.server import Access
from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.gateway import logs
from ipmasq.gateway.describe import sentence
from ipmasq.gateway.file import File
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.loop import Loop
from ipmasq.planes.fault import FaultPlane, Faults

MOST = 25
"""Places and types that are named."""


class MallInfo(ctypes.Structure):
    """`struct mallinfo2` of <malloc.h>: what the C library's allocator has, in bytes."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = MallInfo


class Facts:
    def __init__(self, gateway: Gateway, control: Control, impairment: FaultPlane) -> None:
        self._gateway, self._control, self._impairment = gateway, control, impairment
        self._before: tracemalloc.Snapshot | None = None

        self._failures: list[str] = []

    def listen(self, happened: Sequence[Event]) -> None:
        """Keep what the engine or a helper could not handle, as far as it is told."""
        for event in happened:
            if isinstance(event, events.PacketFailed | events.HelperFailed):
                self._failures = [*self._failures, sentence(event)][:MOST]

    def say(self) -> None:
        print(json.dumps(self._facts()), flush=True)

    def checked(self) -> None:
        facts = self._facts()
        try:
            self._gateway.engine.check()
            facts["invariants"] = "exact"
        except AssertionError as error:
            frame = error.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            facts["invariants"] = f"violated at line {frame.tb_lineno if frame else '?'}: {error}"
        if tracemalloc.is_tracing():
            facts |= self._diagnosis()
        print(json.dumps(facts), flush=True)

    def _facts(self) -> dict[str, object]:
        engine, memory = self._gateway.engine, _mallinfo()
        tallies = self._impairment.tallies.values()
        return {
            "flows": len(engine.table.flows),
            "mappings": len(engine.table.mappings),
            "expectations": len(list(engine.expectations())),
            "events": self._control.journal.end,
            "lost_events": engine.lost_events,
            "failures": self._failures,
            "blocks": sys.getallocatedblocks(),
            "heap": memory.arena + memory.hblkhd,
            "heap_used": memory.uordblks + memory.hblkhd,
            "faults": sum(t.lost + t.duplicated + t.delayed + t.corrupted for t in tallies),
            "packets": {
                reason.name.lower(): engine.counts[reason]
                for reason in Reason
                if engine.counts[reason]
            },
            "offloaded": self._gateway.offloading.offloader.tally.packets,
        }

    def _diagnosis(self) -> dict[str, object]:
        """Types by number, and where memory was allocated that is still in use and was not last time."""
        types = Counter(type(each).__name__ for each in gc.get_objects())
        now = tracemalloc.take_snapshot()
        grown = now.compare_to(self._before, "lineno") if self._before else now.statistics("lineno")
        self._before = now
        return {
            "types": dict(types.most_common(MOST)),
            "traced": tracemalloc.get_traced_memory()[0],
            "grown": [str(each) for each in grown[:MOST]],
        }


def main(
    config: str, directory: str, plane: str, seed: str, faults: str, diagnose: str = ""
) -> None:
    """Raises SetupError, PlaneError and SocketError."""
    if diagnose:
        tracemalloc.start()
    logs.begin(logging.INFO, "json")
    loop = Loop()
    gateway = Gateway(File(config), loop, Path(directory), plane)
    impairment = dict.fromkeys(Side, Faults(**json.loads(faults)))
    around = FaultPlane(gateway._plane, impairment, Random(int(seed)), loop.clock)
    gateway._drive.plane = around
    table = load(config).config.control
    control = Control(gateway, loop, Access(Path(table.socket), table.mode, table.group))
    gateway.listeners.extend((control.observe, logs.Writer(gateway.engine.table.host_of)))
    facts = Facts(gateway, control, around)
    gateway.listeners.append(facts.listen)
    loop.on_signal(signal.SIGUSR1, facts.say)
    loop.on_signal(signal.SIGRTMIN, facts.checked)
    gateway.start()
    try:
        control.open()
        loop.later(0, lambda: print("ready", flush=True))  # when signals are handled
        loop.run()
    finally:
        control.close()
        gateway.stop()
    print(json.dumps({"unreachable": gc.collect()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
