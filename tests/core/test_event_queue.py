"""Events wait for a listener, and failures of the gateway itself are told of without a flood."""

from __future__ import annotations

from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.world import IN1, OUT1, World


def test_a_packet_whose_handling_raises_costs_that_packet_and_is_told_of_once_a_second(monkeypatch):
    world = World()
    out = world.udp(IN1, 5000, OUT1, 53).one.source
    monkeypatch.setattr("ipmasq.core.engine.ipv4.read", lambda data: 1 // 0)
    data = packets.echo(IN1, OUT1, 5)
    for _ in range(3):
        verdict = world.engine.receive(Packet(bytearray(data)), Side.INSIDE, world.now)
        assert (verdict.reason, verdict.packets) == (Reason.FAULT, ())
    monkeypatch.undo()
    world.now += 1
    world.udp(OUT1, 53, *out).reaches(IN1, 5000)
    from ipmasq.core.events import PacketFailed

    (failed,) = world.events(PacketFailed)
    assert failed.data == data[:128]
    assert "ZeroDivisionError" in failed.error
    assert world.engine.counts[Reason.FAULT] == 3
