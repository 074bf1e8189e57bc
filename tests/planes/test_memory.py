from __future__ import annotations

import select

import pytest
from scapy.all import IP, UDP, raw

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Policy
from ipmasq.core.side import Side
from ipmasq.planes.memory import MemoryPlane
from ipmasq.planes.plane import LivePlane, PlaneError
from ipmasq.wire.addresses import to_address, to_network

INSIDE = (to_network("10.0.0.0/24"),)
QUERY = raw(IP(src="10.0.0.2", dst="198.51.100.1", ttl=9) / UDP(sport=5000, dport=53) / b"?")


def readable(plane: LivePlane) -> list[int]:
    return select.select(plane.descriptors(), (), (), 0)[0]


def test_a_question_and_its_answer_cross_an_engine() -> None:
    engine = Engine(Policy(INSIDE, (to_address("203.0.113.1"),)), lambda n: n // 2, 0.0)
    plane = MemoryPlane(INSIDE)
    plane.open()
    try:
        assert not readable(plane)

        def turn() -> None:
            for descriptor in readable(plane):
                while came := plane.receive(descriptor):
                    for packet in engine.receive(*came, 1.0).packets:
                        plane.send(packet, came[1])

        plane.deliver(QUERY, Side.INSIDE)
        turn()
        (sent,) = plane.collect(Side.OUTSIDE)
        asked = IP(bytes(sent.data))
        assert (asked.src, asked.ttl) == ("203.0.113.1", 8)
        answer = (
            IP(src="198.51.100.1", dst=asked.src) / UDP(sport=53, dport=asked[UDP].sport) / b"!"
        )
        plane.deliver(raw(answer), Side.OUTSIDE)
        turn()
        (back,) = plane.collect(Side.INSIDE)
        assert (IP(bytes(back.data)).dst, IP(bytes(back.data))[UDP].dport) == ("10.0.0.2", 5000)
        assert not plane.collect(Side.OUTSIDE)
        assert not readable(plane)
    finally:
        plane.close()
        plane.close()


def test_packets_come_one_by_one_and_the_rest_stays_readable() -> None:
    plane = MemoryPlane(INSIDE)
    plane.open()
    try:
        for number in range(1, 6):
            plane.deliver(bytes([number]), Side.INSIDE)
        (descriptor,) = readable(plane)
        for number in range(1, 6):
            assert readable(plane) == [descriptor]
            came = plane.receive(descriptor)
            assert came is not None
            assert (bytes(came[0].data), came[1]) == (bytes([number]), Side.INSIDE)
        assert not readable(plane)
        kept = came[0].data
        assert plane.receive(descriptor) is None
        assert bytes(kept) == b"\0", "its buffer was used again"
    finally:
        plane.close()


def test_a_closed_plane_takes_nothing() -> None:
    with pytest.raises(PlaneError, match="not open"):
        MemoryPlane(INSIDE).deliver(QUERY, Side.INSIDE)
