"""The unit that planes and engine hand each other."""

from __future__ import annotations

import pytest

from ipmasq.wire.packet import Packet


def test_a_packet_is_whole_and_unsegmented_unless_it_says_otherwise():
    data = bytearray(b"E")
    packet = Packet(data)
    assert packet.data is data
    assert (packet.partial, packet.segment, packet.note) == (False, 0, None)


def test_a_packet_carries_nothing_that_planes_and_engine_have_not_agreed_on():
    packet = Packet(bytearray())
    with pytest.raises(AttributeError):
        packet.mark = 1  # type: ignore[attr-defined]
