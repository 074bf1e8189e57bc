"""How long the engine takes for a packet, and helpers for a line, as histograms.

Nothing is measured unless the metrics are served, and then only some of the packets, so that the others cost
what they always do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from time import perf_counter

from ipmasq.core.events import Event, HelperLoaded
from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.registered import Call
from ipmasq.core.side import Side
from ipmasq.core.verdict import Verdict
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.loop import Timer
from ipmasq.wire.packet import Packet

BOUNDS = (
    5e-6, 10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1,
)  # fmt: skip
"""Upper bounds of the buckets, in seconds. The last bucket has none."""

SAMPLE_EVERY = 0.05
"""Seconds between two batches of packets that are measured."""


class Histogram:
    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """Values by bucket: above the bound before, up to this one."""
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds


class Latency:
    """Measures while it is begun. `listen` is a listener of the gateway."""

    def __init__(self, drive: Drive, clock: Callable[[], float] = perf_counter) -> None:
        self.engine = Histogram()
        self.helpers: dict[str, Histogram] = {}
        self._drive = drive
        self._clock = clock
        self._timer: Timer | None = None

    def begin(self) -> None:
        self._drive.engine.call_helpers_by(self._call)
        self._sample()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._drive.receive = self._drive.engine.receive
        self._drive.engine.call_helpers_by(None)

    def renew(self) -> None:
        """Measure the helpers of an engine that has begun anew, too."""
        if self._timer is not None:
            self._drive.engine.call_helpers_by(self._call)

    def listen(self, events: Sequence[Event]) -> None:
        """Measure helpers that were loaded, too."""
        if self._timer is not None and any(isinstance(each, HelperLoaded) for each in events):
            self._drive.engine.call_helpers_by(self._call)

    def _sample(self) -> None:
        """Measure the packets of the next batch."""
        self._drive.receive = self._receive
        self._timer = self._drive.loop.later(SAMPLE_EVERY, self._sample)

    def _receive(self, packet: Packet, side: Side, now: float) -> Verdict:
        self._drive.receive = self._drive.engine.receive  # for the next batch
        begun = self._clock()
        verdict = self._drive.engine.receive(packet, side, now)
        self.engine.add(self._clock() - begun)
        return verdict

    def _call(self, name: str) -> Call:
        histogram, clock = self.helpers.setdefault(name, Histogram()), self._clock

        def call(helper: Helper, line: bytes, context: HelperContext) -> None:
            begun = clock()
            try:
                helper.on_line(line, context)
            finally:
                histogram.add(clock() - begun)

        return call
