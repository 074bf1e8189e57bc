"""Weather between two queues: what arrives, how often, and in which order."""

from __future__ import annotations

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


class Weather:
    """A memory plane under a fault plane, an engine that lets everything pass, and a clock to turn."""

    def __init__(self, seed: int = 7, **faults: float) -> None:
        self.now = 0.0
        self.memory = MemoryPlane(())
        weather = {Side.INSIDE: Faults(**faults)}  # type: ignore[arg-type]
        self.plane = FaultPlane(self.memory, weather, Random(seed), lambda: self.now)
        self.plane.open()
        self.arrived: list[tuple[Side, Packet]] = []

    def send(self, packet: Packet | bytes, side: Side = Side.INSIDE) -> list[bytes]:
        """What reaches the engine when this packet is sent."""
        before = len(self.arrived)
        self.memory.deliver(packet, side)
        for descriptor in self.plane.descriptors():
            self.plane.pump(descriptor, self._receive, 10)
        return [bytes(each.data) for _, each in self.arrived[before:]]

    def _receive(self, packet: Packet, side: Side) -> tuple[Packet, ...]:
        self.arrived.append((side, Packet(bytearray(packet.data), packet.partial, packet.segment)))
        # The engine rewrites in place: later copies must not be touched by that.
        packet.data[:] = bytes(len(packet.data))
        return (packet,)

    def numbers(self, side: Side = Side.INSIDE) -> list[int]:
        return [int.from_bytes(p.data[28:30], "big") for where, p in self.arrived if where is side]


@pytest.fixture
def weather(request: pytest.FixtureRequest) -> Iterator[Weather]:
    made = Weather(**getattr(request, "param", {}))
    yield made
    made.plane.close()


def numbered(number: int) -> bytes:
    return raw(
        IP(src="10.0.0.2", dst="10.0.0.3") / UDP(sport=1, dport=2) / number.to_bytes(2, "big")
    )


def send_all(weather: Weather, side: Side = Side.INSIDE) -> list[int]:
    for number in range(COUNT):
        weather.send(numbered(number), side)
    return weather.numbers(side)


def test_without_faults_everything_arrives_in_order(weather: Weather) -> None:
    assert send_all(weather) == list(range(COUNT))


@pytest.mark.parametrize("weather", [{"loss": 0.25}], indirect=True)
def test_a_quarter_is_lost_and_the_rest_arrives_in_order(weather: Weather) -> None:
    numbers = send_all(weather)
    assert numbers == sorted(set(numbers))
    assert 0.6 * COUNT < len(numbers) < 0.9 * COUNT
    assert weather.plane.tallies[Side.INSIDE].lost == COUNT - len(numbers)


@pytest.mark.parametrize("weather", [{"loss": 1.0}], indirect=True)
def test_each_side_has_its_own_weather(weather: Weather) -> None:
    assert send_all(weather, Side.OUTSIDE) == list(range(COUNT))
    assert send_all(weather, Side.INSIDE) == []


@pytest.mark.parametrize("weather", [{"duplication": 0.5}], indirect=True)
def test_duplicates_arrive_unharmed_by_what_happened_to_the_first(weather: Weather) -> None:
    numbers = send_all(weather)
    assert sorted(set(numbers)) == list(range(COUNT))
    assert len(numbers) == COUNT + weather.plane.tallies[Side.INSIDE].duplicated
    assert 1.3 * COUNT < len(numbers) < 1.7 * COUNT


@pytest.mark.parametrize("weather", [{"delay": 0.3, "delay_packets": 4}], indirect=True)
def test_delayed_packets_arrive_once_and_at_most_so_many_packets_late(weather: Weather) -> None:
    numbers = send_all(weather)
    assert numbers != sorted(numbers)
    assert len(numbers) == len(set(numbers))
    assert set(range(COUNT - 4)) <= set(numbers)
    assert all(abs(place - number) <= 8 for place, number in enumerate(numbers))
    assert 0.2 * COUNT < weather.plane.tallies[Side.INSIDE].delayed < 0.4 * COUNT


@pytest.mark.parametrize(
    "weather", [{"delay": 1.0, "delay_packets": 1000, "delay_seconds": 0.05}], indirect=True
)
def test_a_delayed_packet_comes_with_the_first_packet_after_its_time(weather: Weather) -> None:
    assert weather.send(numbered(1)) == []
    weather.plane.faults = {}
    assert weather.send(numbered(2)) == [numbered(2)]
    weather.now = 0.05
    assert weather.send(numbered(3), Side.OUTSIDE) == [numbered(3), numbered(1)]
    assert [side for side, _ in weather.arrived] == [Side.INSIDE, Side.OUTSIDE, Side.INSIDE]
    assert weather.send(numbered(4)) == [numbered(4)]


@pytest.mark.parametrize("weather", [{"corruption": 1.0}], indirect=True)
def test_corruption_turns_one_bit_behind_the_ip_header(weather: Weather) -> None:
    for number in range(50):
        (came,) = weather.send(numbered(number))
        sent = numbered(number)
        flipped = int.from_bytes(came, "big") ^ int.from_bytes(sent, "big")
        assert flipped.bit_count() == 1
        assert came[:20] == sent[:20]


@pytest.mark.parametrize("weather", [{"corruption": 1.0}], indirect=True)
def test_an_unfinished_checksum_does_not_bless_the_damage(weather: Weather) -> None:
    data = bytearray(numbered(1))
    data[26:28] = pseudo_header_sum(data[12:16], data[16:20], 17, len(data) - 20).to_bytes(2, "big")
    assert partial.is_partial(data)
    (came,) = weather.send(Packet(data, partial=True))
    assert not weather.arrived[-1][1].partial
    assert IP(came)[UDP].chksum == 0 or raw(IP(came)) != raw(_recomputed(came))
    assert weather.send(Packet(bytearray(numbered(2)), partial=True, segment=8)) == []


def _recomputed(data: bytes) -> IP:
    packet = IP(data)
    del packet[UDP].chksum
    return packet


def test_the_same_seed_makes_the_same_weather() -> None:
    faults = {"loss": 0.1, "duplication": 0.1, "delay": 0.2, "corruption": 0.1}

    def day(seed: int) -> list[int]:
        weather = Weather(seed, **faults)
        try:
            return send_all(weather)
        finally:
            weather.plane.close()

    assert day(1) == day(1)
    assert day(1) != day(2)
