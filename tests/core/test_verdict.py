"""What the engine answers to a packet."""

from __future__ import annotations

from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.verdict import Verdict
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.world import IN1, OUT1, World


def test_a_verdict_of_a_reason_alone_sends_and_commands_nothing():
    assert Verdict(Reason.HELD) == (Reason.HELD, (), ())


def test_the_packet_itself_leaves_rewritten_in_its_own_buffer():
    data = bytearray(packets.udp(IN1, 5000, OUT1, 53))
    verdict = World().engine.receive(packet := Packet(data), Side.INSIDE, 1000.0)
    assert verdict.reason is Reason.TRANSLATED
    assert list(verdict.packets) == [packet]
    assert packet.data is data
    assert verdict.commands == (), "there is no fast path"
