"""Events wait for a listener, and failures of the gateway itself are told of without a flood."""

from __future__ import annotations

from ipmasq.core.event_queue import BETWEEN_FAILURES, MOST_EVENTS, EventQueue
from ipmasq.core.events import ForwardAdded, PacketFailed
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.world import IN1, OUT1, World


def test_a_packet_whose_handling_raises_costs_that_packet_and_is_told_of_once_a_second(monkeypatch):
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53).one.source
    monkeypatch.setattr("ipmasq.core.slow_path.ipv4.read", lambda data: 1 // 0)
    data = packets.echo(IN1, OUT1, 5)
    for _ in range(3):
        verdict = world.engine.receive(Packet(bytearray(data)), Side.INSIDE, world.now)
        assert (verdict.reason, verdict.packets) == (Reason.FAULT, ())
    monkeypatch.undo()
    world.now += 1
    world.udp(OUT1, 53, *out).reaches(IN1, 5000)
    (failed,) = world.events(PacketFailed)
    assert failed.data == data[:28]
    assert "ZeroDivisionError" in failed.error
    assert world.engine.counts[Reason.FAULT] == 3


def test_for_a_listener_that_does_not_come_only_so_many_events_are_kept():
    queue = EventQueue()
    for number in range(MOST_EVENTS + 1):
        queue.add(ForwardAdded(number, "x"))
    kept = queue.drain()
    assert queue.lost == MOST_EVENTS // 2
    assert len(kept) + queue.lost == MOST_EVENTS + 1
    assert kept[-1] == ForwardAdded(MOST_EVENTS, "x")
    assert queue.drain() == []


def test_failures_that_come_fast_are_counted_by_the_next_event_about_one():
    queue, error = EventQueue(), ValueError("oh\nno")
    for now in (0.0, 0.1, 0.2, BETWEEN_FAILURES):
        queue.add_failure(now, Side.INSIDE, b"E", error)
    assert [(e.at, e.packet_failures, e.error) for e in queue.drain()] == [
        (0.0, 1, "ValueError: oh"),
        (BETWEEN_FAILURES, 3, "ValueError: oh"),
    ]
