"""What a fast path has of earlier flows stays there, whenever in a round of the loop it is used anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.side import Side
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.offloading import Offloading
from ipmasq.planes.fastpath import NoFastPath
from ipmasq.planes.memory import MemoryPlane
from tests.conformance import packets
from tests.control.running import IN1, OUT1, POLICY
from tests.planes.ebpf.model import Model

Soon = Callable[[Loop, Callable[[], object]], object]


def by_timer(loop: Loop, callback: Callable[[], object]) -> None:
    loop.later(0, callback)


def by_descriptor(loop: Loop, callback: Callable[[], object]) -> None:
    """As the end of a successor is noticed."""
    readable = os.eventfd(1)

    def once() -> None:
        loop.unwatch(readable)
        os.close(readable)
        callback()

    loop.watch(readable, once)


@pytest.mark.parametrize("soon", [by_timer, by_descriptor])
def test_flows_stay_in_a_table_that_is_used_anew(soon: Soon) -> None:
    loop, table = Loop(), Model()
    loop.every(0.01, lambda: None)  # so that no round waits longer
    plane: Any = MemoryPlane(POLICY.inside)
    plane.fast = NoFastPath(table=table)
    engine = Engine(POLICY, Random(1).randrange, loop.clock())
    drive = Drive(engine, plane, loop)
    offloading = Offloading(drive, plane)
    drive.start()
    offloading.begin()
    for port in range(5000, 5003):
        plane.deliver(packets.udp(IN1, port, OUT1, 53), Side.INSIDE)
    for _ in range(3):
        loop.round()
    before, first = dict(table.slots), offloading.offloader
    assert len(before) == 6, "both directions of three flows"

    def anew() -> None:
        offloading.end(True)
        table.inherit()
        offloading.begin()

    soon(loop, anew)
    for _ in range(100):
        loop.round()
    assert offloading.offloader is not first
    assert not table.inherits, "what belongs to no flow was discarded"
    assert table.slots == before
    drive.stop()


def test_what_was_forwarded_counts_on_in_a_table_that_replaces_another_one() -> None:
    loop = Loop()
    loop.every(0.01, lambda: None)
    plane: Any = MemoryPlane(POLICY.inside)
    plane.fast = NoFastPath(table=Model())
    engine = Engine(POLICY, Random(1).randrange, loop.clock())
    drive = Drive(engine, plane, loop)
    offloading = Offloading(drive, plane)
    drive.start()
    offloading.begin()
    data = packets.udp(IN1, 5000, OUT1, 53)
    plane.deliver(data, Side.INSIDE)
    while not (sent := plane.collect(Side.OUTSIDE)):
        loop.round()
    public = bytes(sent[0].data[12:16]), int.from_bytes(sent[0].data[20:22], "big")
    plane.deliver(packets.udp(OUT1, 53, *public), Side.OUTSIDE)
    while not plane.collect(Side.INSIDE):
        loop.round()
    for number in range(1, 4):
        offloading.look()
        assert plane.fast.table.forward(data, Side.INSIDE, loop.clock()) is not None
        offloading.end()
        plane.fast = NoFastPath(table=Model())
        offloading.begin()
        while not offloading.offloader.numbers():
            loop.round()
        offloaded = next(each for each in offloading.counters() if each.name == "offloaded")
        assert offloaded.value == number
    drive.stop()
