"""Impairment between two queues: what arrives, how often, and in which order."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from random import Random

import pytest
from scapy.all import IP, UDP, raw

from ipmasq.core.side import Side
from ipmasq.planes.fault import FaultPlane, Faults
from ipmasq.planes.memory import MemoryPlane
from ipmasq.wire import partial
from ipmasq.wire.checksum import pseudo_header_sum
from ipmasq.wire.packet import Packet

COUNT = 400


class Impairment:
    """A memory plane under a fault plane, an engine that lets everything pass, and a clock to turn."""

    def __init__(self, seed: int = 7, **faults: float) -> None:
        self.now = 0.0
        self.memory = MemoryPlane(())
        impairment = {Side.INSIDE: Faults(**faults)}  # type: ignore[arg-type]
        self.plane = FaultPlane(self.memory, impairment, Random(seed), lambda: self.now)
        self.plane.open()
        self.arrived: list[tuple[Side, Packet]] = []

    def send(self, packet: Packet | bytes, side: Side = Side.INSIDE) -> list[bytes]:
        """What reaches the engine when this packet is sent."""
        before = len(self.arrived)
        self.memory.deliver(packet, side)
        for descriptor in self.plane.descriptors():
            while came := self.plane.receive(descriptor):
                self._receive(*came)
        return [bytes(each.data) for _, each in self.arrived[before:]]

    def _receive(self, packet: Packet, side: Side) -> None:
        self.arrived.append((side, Packet(bytearray(packet.data), packet.partial, packet.segment)))
        # The engine rewrites in place: later copies must not be touched by that.
        packet.data[:] = bytes(len(packet.data))

    def numbers(self, side: Side = Side.INSIDE) -> list[int]:
        return [int.from_bytes(p.data[28:30], "big") for where, p in self.arrived if where is side]


@pytest.fixture
def impairment(request: pytest.FixtureRequest) -> Iterator[Impairment]:
    made = Impairment(**getattr(request, "param", {}))
    yield made
    made.plane.close()


def numbered(number: int) -> bytes:
    return raw(
        IP(src="10.0.0.2", dst="10.0.0.3") / UDP(sport=1, dport=2) / number.to_bytes(2, "big")
    )


def send_all(impairment: Impairment, side: Side = Side.INSIDE) -> list[int]:
    for number in range(COUNT):
        impairment.send(numbered(number), side)
    return impairment.numbers(side)


def test_without_faults_everything_arrives_in_order(impairment: Impairment) -> None:
    assert send_all(impairment) == list(range(COUNT))


@pytest.mark.parametrize("impairment", [{"loss": 0.25}], indirect=True)
def test_a_quarter_is_lost_and_the_rest_arrives_in_order(impairment: Impairment) -> None:
    numbers = send_all(impairment)
    assert numbers == sorted(set(numbers))
    assert 0.6 * COUNT < len(numbers) < 0.9 * COUNT
    assert impairment.plane.tallies[Side.INSIDE].lost == COUNT - len(numbers)


@pytest.mark.parametrize("impairment", [{"loss": 1.0}], indirect=True)
def test_each_side_has_its_own_weather(impairment: Impairment) -> None:
    assert send_all(impairment, Side.OUTSIDE) == list(range(COUNT))
    assert send_all(impairment, Side.INSIDE) == []


@pytest.mark.parametrize("impairment", [{"duplication": 0.5}], indirect=True)
def test_duplicates_arrive_unharmed_by_what_happened_to_the_first(impairment: Impairment) -> None:
    numbers = send_all(impairment)
    assert sorted(set(numbers)) == list(range(COUNT))
    assert len(numbers) == COUNT + impairment.plane.tallies[Side.INSIDE].duplicated
    assert 1.3 * COUNT < len(numbers) < 1.7 * COUNT


@pytest.mark.parametrize("impairment", [{"delay": 0.3, "delay_packets": 4}], indirect=True)
def test_delayed_packets_arrive_once_and_at_most_so_many_packets_late(
    impairment: Impairment,
) -> None:
    numbers = send_all(impairment)
    assert numbers != sorted(numbers)
    assert len(numbers) == len(set(numbers))
    assert set(range(COUNT - 4)) <= set(numbers)
    assert all(abs(index - number) <= 8 for index, number in enumerate(numbers))
    assert 0.2 * COUNT < impairment.plane.tallies[Side.INSIDE].delayed < 0.4 * COUNT


@pytest.mark.parametrize(
    "impairment", [{"delay": 1.0, "delay_packets": 1000, "delay_seconds": 0.05}], indirect=True
)
def test_a_delayed_packet_comes_with_the_first_packet_after_its_time(
    impairment: Impairment,
) -> None:
    assert impairment.send(numbered(1)) == []
    impairment.plane.faults = {}
    assert impairment.send(numbered(2)) == [numbered(2)]
    impairment.now = 0.05
    assert impairment.send(numbered(3), Side.OUTSIDE) == [numbered(3), numbered(1)]
    assert [side for side, _ in impairment.arrived] == [Side.INSIDE, Side.OUTSIDE, Side.INSIDE]
    assert impairment.send(numbered(4)) == [numbered(4)]


def test_a_delayed_packet_arrives_at_its_time_on_a_silent_network() -> None:
    memory = MemoryPlane(())
    faults = {Side.INSIDE: Faults(delay=1.0, delay_packets=1000, delay_seconds=0.05)}
    plane = FaultPlane(memory, faults, Random(1), time.monotonic)
    plane.open()
    try:
        memory.deliver(numbered(1), Side.INSIDE)
        for descriptor in plane.descriptors():
            assert plane.receive(descriptor) is None
        (alarm,) = select.select(plane.descriptors(), (), (), 10)[0]
        came = plane.receive(alarm)
        assert came is not None
        assert (bytes(came[0].data), came[1]) == (numbered(1), Side.INSIDE)
        assert not select.select(plane.descriptors(), (), (), 0)[0]
    finally:
        plane.close()


@pytest.mark.parametrize("impairment", [{"duplication": 1.0}], indirect=True)
def test_what_is_not_received_at_once_keeps_the_plane_readable(impairment: Impairment) -> None:
    impairment.memory.deliver(numbered(1), Side.INSIDE)
    inside, _, alarm = impairment.plane.descriptors()
    assert impairment.plane.receive(inside) is not None
    assert select.select((inside, alarm), (), (), 10)[0] == [alarm]
    assert impairment.plane.receive(alarm) is not None
    assert not select.select((inside, alarm), (), (), 0)[0]


@pytest.mark.parametrize("impairment", [{"corruption": 1.0}], indirect=True)
def test_corruption_turns_one_bit_behind_the_ip_header(impairment: Impairment) -> None:
    for number in range(50):
        (came,) = impairment.send(numbered(number))
        sent = numbered(number)
        flipped = int.from_bytes(came, "big") ^ int.from_bytes(sent, "big")
        assert flipped.bit_count() == 1
        assert came[:20] == sent[:20]


@pytest.mark.parametrize("impairment", [{"corruption": 1.0}], indirect=True)
def test_an_unfinished_checksum_does_not_bless_the_damage(impairment: Impairment) -> None:
    data = bytearray(numbered(1))
    data[26:28] = pseudo_header_sum(data[12:16], data[16:20], 17, len(data) - 20).to_bytes(2, "big")
    assert partial.is_partial(data)
    (came,) = impairment.send(Packet(data, partial=True))
    assert not impairment.arrived[-1][1].partial
    assert IP(came)[UDP].chksum == 0 or raw(IP(came)) != raw(_recomputed(came))
    assert impairment.send(Packet(bytearray(numbered(2)), partial=True, segment=8)) == []


def _recomputed(data: bytes) -> IP:
    packet = IP(data)
    del packet[UDP].chksum
    return packet


def test_the_same_seed_makes_the_same_weather() -> None:
    faults = {"loss": 0.1, "duplication": 0.1, "delay": 0.2, "corruption": 0.1}

    def day(seed: int) -> list[int]:
        impairment = Impairment(seed, **faults)
        try:
            return send_all(impairment)
        finally:
            impairment.plane.close()

    assert day(1) == day(1)
    assert day(1) != day(2)
