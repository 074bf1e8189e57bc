"""Packets wait until what they depend on is written, in their order, and not for ever."""

from __future__ import annotations

from ipmasq.core.side import Side
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.outbox import Leaving, Outbox
from ipmasq.wire.packet import Packet


class Sent(list[bytes]):
    def __call__(self, packet: Packet, side: Side) -> None:
        self.append(bytes(packet.data))


def test_packets_leave_in_their_order_when_their_tickets_are_acknowledged():
    sent, outbox = Sent(), Outbox(Loop(), 60)
    for ticket in (1, 2, 3):
        outbox.hold(ticket, [Leaving(sent, Packet(bytearray(b"%d" % ticket)), Side.INSIDE)])
    outbox.release(0)
    assert sent == []
    outbox.release(2)
    assert sent == [b"1", b"2"]
    outbox.release(3)
    assert sent == [b"1", b"2", b"3"]
    assert (outbox.held, outbox.late) == (3, 0)


def test_a_packet_that_has_waited_for_long_leaves_and_is_counted():
    loop = Loop()
    sent, outbox = Sent(), Outbox(loop, 0.001)
    outbox.hold(1, [Leaving(sent, Packet(bytearray(b"late")), Side.INSIDE)])
    while not sent:
        loop.round()
    assert sent == [b"late"]
    assert outbox.late == 1


def test_the_buffer_of_a_packet_that_waits_can_be_used_again():
    sent, outbox, buffer = Sent(), Outbox(Loop(), 60), bytearray(b"one")
    outbox.hold(1, [Leaving(sent, Packet(buffer), Side.INSIDE)])
    buffer[:] = b"two"
    outbox.release(1)
    assert sent == [b"one"]


def test_nothing_leaves_after_the_role_was_given_up():
    sent, outbox = Sent(), Outbox(Loop(), 60)
    outbox.hold(1, [Leaving(sent, Packet(bytearray(b"x")), Side.INSIDE)])
    outbox.clear()
    outbox.release(1)
    assert sent == []
