"""What is measured, and that nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.side import Side
from ipmasq.gateway import latency
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.latency import BOUNDS, Histogram, Latency
from ipmasq.gateway.loop import Loop
from ipmasq.planes.memory import MemoryPlane
from tests.conformance import packets
from tests.control.running import IN1, OUT1, POLICY

STEP = 30e-6


class Stage:
    def __init__(self) -> None:
        self.loop, self.plane = Loop(), MemoryPlane(POLICY.inside)
        self.engine = Engine(POLICY, Random(1).randrange, self.loop.clock())
        self.drive = Drive(self.engine, self.plane, self.loop)
        ticks = count()
        self.latency = Latency(self.drive, lambda: next(ticks) * STEP)
        self.drive.listeners.append(self.latency.listen)
        self.drive.start()

    def batch(self, size: int) -> None:
        for _ in range(size):
            self.plane.deliver(packets.udp(IN1, 5000, OUT1, 53), Side.INSIDE)
        self.loop.later(0, lambda: None)
        self.loop.round()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(latency, "SAMPLE_EVERY", 1000.0)
    stage = Stage()
    yield stage
    stage.drive.stop()


def test_one_batch_is_measured_and_the_next_one_is_not(stage: Stage):
    stage.latency.begin()
    stage.batch(10)
    stage.batch(7)
    histogram = stage.latency.engine
    assert sum(histogram.counts) == 10
    assert histogram.sum == pytest.approx(10 * STEP)
    assert histogram.counts[BOUNDS.index(50e-6)] == 10
    assert stage.engine.counts[0] == 17
    assert stage.drive.receive == stage.engine.receive


def test_a_batch_is_measured_again_after_a_while(stage: Stage):
    stage.latency.begin()
    stage.batch(1)
    stage.latency._sample()
    stage.batch(1)
    assert sum(stage.latency.engine.counts) == 2


def test_nothing_is_measured_before_the_begin_and_after_the_end(stage: Stage):
    stage.batch(1)
    stage.latency.begin()
    stage.latency.end()
    stage.batch(1)
    assert sum(stage.latency.engine.counts) == 0
    assert [each.call for each in stage.engine.manager.registered.values()] == [None]


@pytest.mark.parametrize("index", range(len(BOUNDS)))
def test_a_bound_belongs_to_the_bucket_below_it(index: int):
    histogram = Histogram()
    histogram.add(BOUNDS[index])
    histogram.add(BOUNDS[index] * 1.001)
    assert histogram.counts[index : index + 2] == [1, 1]
