"""Rates of flows and hosts, found in rounds while clients ask for them."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from ipmasq.control import survey
from ipmasq.control.survey import Survey
from ipmasq.core.engine import Engine
from ipmasq.core.offloading import Traffic
from ipmasq.core.restoring import compacted
from ipmasq.core.side import Side
from ipmasq.gateway.loop import Loop
from ipmasq.wire.addresses import to_address
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.control.running import E1, IN1, IN2, OUT1, POLICY
from tests.core.restored import kept

E2 = to_address("203.0.113.2")


class Surveyed:
    """An engine, a loop and a survey with a clock of their own. `turn` is one round of the loop's timers."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.loop = Loop()
        self.loop.clock = lambda: self.now  # type: ignore[method-assign,assignment]
        policy = replace(POLICY, public=(E1, E2), own=frozenset((E1, E2)))
        self.engine = Engine(policy, Random(1).randrange, self.now)
        self.survey = Survey(self.engine, self.loop)

    def send(self, source: bytes, port: int, size: int = 0) -> int:
        """Send a datagram outwards. Return the number of its flow, if that is new."""
        packet = Packet(bytearray(packets.udp(source, port, OUT1, 53, bytes(size))))
        self.engine.receive(packet, Side.INSIDE, self.now)
        return next(reversed(self.engine.table.flows))

    def answer(self, port: int, size: int) -> None:
        """Send a datagram back to IN1's port."""
        (public,) = (view.public for view in self.engine.flows() if view.inside.port == port)
        packet = Packet(bytearray(packets.udp(OUT1, 53, *public, bytes(size))))
        self.engine.receive(packet, Side.OUTSIDE, self.now)

    def observe(self) -> None:
        self.survey.observe(self.engine.events())

    def turns(self, seconds: float) -> int:
        """Let time pass. Return how many flows were read at most in one turn."""
        end, most = self.now + seconds, 0
        while self.now < end:
            read = self.count
            self.turn()
            most = max(most, self.count - read)
            self.now += survey.PAUSE
        return most

    def turn(self) -> None:
        self.observe()
        timers, self.loop._timers = self.loop._timers, []
        for at, _, timer in sorted(timers, key=lambda each: each[:2]):
            if at > self.now:
                self.loop._timers.append((at, _, timer))
            elif timer.callback:
                timer.callback()
        self.loop._timers.sort(key=lambda each: each[:2])

    count = 0


@pytest.fixture
def surveyed(monkeypatch: pytest.MonkeyPatch) -> Surveyed:
    made = Surveyed()
    real = made.engine.readings

    def counted(numbers: Any) -> Any:
        for found in real(numbers):
            made.count += 1
            yield found

    monkeypatch.setattr(made.engine, "readings", counted)
    return made


def test_the_rate_of_a_flow_is_that_between_its_last_two_readings(surveyed: Surveyed):
    slow, fast = surveyed.send(IN1, 5000), surveyed.send(IN1, 5001)
    surveyed.survey.want()
    surveyed.turns(1.5)
    for _ in range(100):  # 1000 bytes of payload, 28 of headers, every 50 ms
        surveyed.send(IN1, 5001, 1000)
        surveyed.answer(5001, 472)
        surveyed.turns(0.05)
    first, second = surveyed.survey.flows("rate", 2)
    assert (first.flow, second.flow) == (fast, slow)
    assert first.out == pytest.approx(20_560, rel=0.1)
    assert first.back == pytest.approx(10_000, rel=0.1)
    assert second.total == 0
    assert surveyed.survey.rate(fast) == pytest.approx((first.out, first.back), rel=1e-3)


def test_the_first_list_has_averages_since_a_flow_was_opened(surveyed: Surveyed):
    flow = surveyed.send(IN1, 5000, 972)
    surveyed.now += 10
    surveyed.survey.want()
    assert not surveyed.survey.is_complete
    (found,) = surveyed.survey.flows("rate", 10)
    assert (found.flow, found.out) == (flow, pytest.approx(100.0))
    surveyed.turns(0.1)
    assert surveyed.survey.is_complete


def test_hosts_have_the_sums_of_their_flows(surveyed: Surveyed):
    for port in range(5000, 5010):
        surveyed.send(IN1, port, 72)
    surveyed.send(IN2, 5000, 972)
    surveyed.now += 10
    surveyed.survey.want()
    first, second = surveyed.survey.hosts[IN1], surveyed.survey.hosts[IN2]
    assert (first.flows, first.bytes, first.total) == (10, 1000, pytest.approx(100.0))
    assert (second.flows, second.bytes) == (1, 1000)


def test_bytes_are_counted_from_the_first_question_on_also_those_of_flows_that_end(
    surveyed: Surveyed,
):
    old = surveyed.send(IN1, 5000, 5000)
    surveyed.survey.want()
    surveyed.turns(1.5)
    assert surveyed.survey.moved == (0, 0)
    surveyed.send(IN1, 5000, 972)
    brief = surveyed.send(IN1, 6000, 972)
    surveyed.engine.close(brief, surveyed.now)  # it was never read
    surveyed.engine.close(old, surveyed.now)
    surveyed.observe()
    assert surveyed.survey.moved == (2000, 0)


def test_what_a_fast_path_has_forwarded_counts(surveyed: Surveyed):
    flow = surveyed.send(IN1, 5000)
    surveyed.survey.want()
    surveyed.turns(1.1)
    elsewhere = Traffic(packets=10, bytes=50_000, seen=surveyed.now, position=0)
    surveyed.engine.set_counter_source(lambda number: (elsewhere, None) if number == flow else None)
    surveyed.turns(1.1)
    assert surveyed.survey.flows("rate", 1)[0].out == pytest.approx(50_000, rel=0.2)


def test_a_hundred_thousand_flows_are_read_a_few_at_a_time(surveyed: Surveyed):
    hosts = [bytes((10, 0, 1, number)) for number in range(2, 102)]
    for host in hosts:
        for port in range(1024, 2024):
            surveyed.send(host, port)
    surveyed.engine.events()
    assert len(surveyed.engine.table.flows) == 100_000
    surveyed.survey.want()
    assert surveyed.turns(3) <= survey.AT_ONCE
    assert surveyed.survey.is_complete
    assert len(surveyed.survey.flows("bytes", 2000)) == survey.MOST
    assert {each.flows for each in surveyed.survey.hosts.values()} == {1000}


def test_nothing_is_read_when_nobody_is_interested_any_more(surveyed: Surveyed):
    surveyed.send(IN1, 5000)
    surveyed.turns(5)
    assert surveyed.count == 0
    surveyed.survey.want()
    surveyed.turns(survey.DEMAND + 3)
    before = surveyed.count
    assert 10 < before <= survey.DEMAND + 3
    surveyed.turns(10)
    assert surveyed.count == before
    surveyed.survey.want()
    assert surveyed.count == before + 1


def test_flows_that_came_in_another_order_keep_their_rates(surveyed: Surveyed):
    for port in range(5000, 5300):
        surveyed.send(IN1, port)
    flows = surveyed.engine.table.flows
    surveyed.survey.want()
    surveyed.turns(1.1)
    surveyed.engine.table.flows = dict(reversed(flows.items()))
    surveyed.send(IN1, 5299, 972)
    surveyed.turns(1.1)
    first, second = surveyed.survey.flows("rate", 2)
    assert first.total == pytest.approx(1000, rel=0.2)
    assert second.total == 0


def test_a_failure_ends_no_round(surveyed: Surveyed, monkeypatch: pytest.MonkeyPatch):
    for port in range(5000, 5300):
        surveyed.send(IN1, port)
    good = surveyed.engine.readings
    monkeypatch.setattr(surveyed.engine, "readings", lambda numbers: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        surveyed.survey.want()
    monkeypatch.setattr(surveyed.engine, "readings", good)
    surveyed.turns(3)
    assert len(surveyed.survey.flows("rate", 1000)) == 300


def restarted(surveyed: Surveyed) -> Engine:
    """Let the engine go on as one whose plain flows are not restored yet."""
    engine, now = surveyed.engine, surveyed.now
    others, compact = compacted(kept(engine, now))
    uses = tuple(each.use for each in engine.manager.registered.values())
    policy = replace(engine.policy, helpers=uses)
    engine.become(Engine.from_records(policy, Random(2).randrange, others, now, compact=compact))
    assert not engine.table.flows
    return engine


@pytest.mark.parametrize("restored_meanwhile", [0, 7, 1000])
def test_flows_that_are_not_restored_yet_are_read_like_all_others(
    surveyed: Surveyed, restored_meanwhile: int
):
    for port in range(5000, 5250):
        surveyed.send(IN1, port, 72)
    flow = surveyed.send(IN2, 5000, 972)
    surveyed.now += 10
    engine = restarted(surveyed)
    surveyed.survey.want()
    while not surveyed.survey.is_complete:
        assert surveyed.turns(survey.PAUSE) <= survey.AT_ONCE
        engine.restore_some(restored_meanwhile)
        engine.check()
    first, second = surveyed.survey.hosts[IN1], surveyed.survey.hosts[IN2]
    assert (first.flows, first.bytes, second.flows, second.bytes) == (250, 25_000, 1, 1000)
    assert surveyed.survey.flows("bytes", 1)[0].flow == flow
    assert surveyed.survey.rate(flow) == pytest.approx((100.0, 0.0), rel=0.1)


def test_a_round_does_not_walk_through_numbers_that_no_flow_has(
    surveyed: Surveyed, monkeypatch: pytest.MonkeyPatch
):
    """As after another member of a group was lost, whose flows have come with numbers of their own."""
    asked: list[int] = []
    readings = surveyed.engine.readings

    def noted(numbers: list[int]) -> Any:
        asked.extend(numbers)
        return readings(numbers)

    monkeypatch.setattr(surveyed.engine, "readings", noted)
    for port in range(5000, 5010):
        surveyed.send(IN1, port)
    surveyed.survey.want()
    surveyed.turns(1.5)
    surveyed.engine.manager.opened += 1_000_000
    flow = surveyed.send(IN1, 6000)
    assert flow > 1_000_000
    asked.clear()
    surveyed.turns(1.5)
    assert surveyed.survey.rate(flow) is not None
    assert len(asked) < 50
