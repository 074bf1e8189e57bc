"""In which order a batch of packets is handled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event, FlowOpened
from ipmasq.core.offloading import Command, Withdraw
from ipmasq.core.side import Side
from ipmasq.gateway.drive import BATCH, Drive
from ipmasq.gateway.loop import Loop
from ipmasq.planes.memory import MemoryPlane
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.control.running import E1, IN1, OUT1, POLICY


class Recording(MemoryPlane):
    """Notes when it sends, in the same list as others note what they do."""

    def __init__(self, done: list[str]) -> None:
        super().__init__(POLICY.inside)
        self.done = done

    def send(self, packet: Packet, side: Side) -> None:
        self.done.append("send")
        super().send(packet, side)

    def hand_back(self, packet: Packet, side: Side) -> None:
        self.done.append(f"hand back from {side.name.lower()}")


class Stage:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.loop, self.plane = Loop(), Recording(self.done)
        self.engine = Engine(POLICY, Random(1).randrange, self.loop.clock())
        self.engine.set_counter_source(lambda flow: None)
        self.drive = Drive(self.engine, self.plane, self.loop)
        self.drive.executors.append(self.carry_out)
        self.drive.listeners.append(self.listen)
        self.drive.start()

    def carry_out(self, commands: Sequence[Command]) -> None:
        self.done += [type(each).__name__ for each in commands]

    def listen(self, happened: Sequence[Event]) -> None:
        self.done.append(f"{len([each for each in happened if isinstance(each, FlowOpened)])} told")

    def deliver(self, *ports: int) -> None:
        for port in ports:
            self.plane.deliver(packets.udp(IN1, port, OUT1, 53), Side.INSIDE)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.drive.stop()


def test_commands_are_carried_out_before_their_packet_is_sent_and_events_are_told_after_the_batch(
    stage: Stage,
) -> None:
    stage.deliver(5000, 5001)
    stage.loop.round()
    assert stage.done == ["Track", "send", "Track", "send"]
    stage.loop.later(0, stage.loop.stop)
    stage.loop.run()
    assert stage.done[4:] == ["2 told"]


def test_what_the_operator_ends_is_withdrawn_in_the_next_round(stage: Stage) -> None:
    stage.deliver(5000)
    stage.loop.round()
    [flow] = stage.engine.table.flows
    stage.engine.close(flow, stage.loop.clock())
    stage.done.clear()
    stage.loop.later(0, stage.loop.stop)
    stage.loop.run()
    assert stage.done == [Withdraw.__name__, "1 told"]


def test_an_executor_that_fails_keeps_no_packet_from_being_sent(stage: Stage) -> None:
    def fail(commands: Sequence[Command]) -> None:
        raise RuntimeError("broken")

    stage.drive.executors.insert(0, fail)
    stage.deliver(5000)
    stage.loop.round()
    assert stage.done == ["Track", "send"]
    assert stage.loop.failures.count == 1


def test_a_batch_has_a_bounded_number_of_packets_and_the_rest_follows(stage: Stage) -> None:
    stage.deliver(*range(5000, 5000 + BATCH + 3))
    stage.loop.round()
    assert stage.done.count("send") == BATCH
    stage.loop.round()
    assert stage.done.count("send") == BATCH + 3


def test_a_packet_for_the_host_itself_is_handed_back_to_it(stage: Stage) -> None:
    stage.plane.deliver(packets.udp(OUT1, 53, E1, 500), Side.OUTSIDE)
    stage.loop.round()
    assert stage.done == ["hand back from outside"]
