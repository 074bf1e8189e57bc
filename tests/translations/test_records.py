"""Which records flows cause: each translation begins once and ends once, as the engine has it."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from ipmasq.core import events
from ipmasq.core.engine import Engine
from ipmasq.core.events import Event
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.translations.records import Ends, Record, Translations
from ipmasq.wire.addresses import Endpoint, to_address
from tests.core.stress import Stress

INSIDE = Endpoint(to_address("10.0.0.2"), 5000)
PUBLIC = Endpoint(to_address("203.0.113.1"), 61000)
REMOTE = Endpoint(to_address("198.51.100.1"), 53)


STEPS = """packet answer go_on connect connect connect say forge meet_expectation wait forward reload close helper
    error disorder"""
"""Of `Stress`; connections are more frequent, so that there is something to record."""


def opened(flow: int, at: float = 0.0, protocol: int = 6) -> Event:
    ends = INSIDE, PUBLIC, Endpoint(REMOTE.address, flow)
    return events.FlowOpened(at, flow, protocol, Side.INSIDE, *ends, ends[2], "masquerade", None)


def closed(flow: int, at: float = 9.0) -> Event:
    return events.FlowClosed(at, flow, Reason.IDLE, 0, 0, 0, 0)


def followed(translations: Translations, *happened: Event) -> list[tuple[bool, float]]:
    return [(each.opened, each.at) for each in translations.follow(happened)]


def test_a_mapping_begins_with_its_first_flow_and_ends_with_its_last():
    log = Translations(destinations=False)
    assert followed(log, opened(1, 1.0), opened(2, 2.0)) == [(True, 1.0)]
    assert followed(log, closed(1, 3.0)) == []
    assert followed(log, closed(2, 4.0)) == [(False, 4.0)]
    assert len(log) == 0


def test_with_destinations_each_flow_begins_and_ends():
    log = Translations(destinations=True)
    assert followed(log, opened(1, 1.0), opened(2, 2.0)) == [(True, 1.0), (True, 2.0)]
    assert {ends.remote.port for ends in log.open() if ends.remote} == {1, 2}
    assert followed(log, closed(1, 3.0), closed(2, 4.0)) == [(False, 3.0), (False, 4.0)]


@pytest.mark.row("6888-12")
def test_without_destinations_no_record_has_a_remote_end():
    log = Translations(destinations=False)
    assert [each.translation.ends.remote for each in log.follow([opened(1)])] == [None]


def test_a_mapping_ends_when_its_connection_is_over_although_late_packets_find_the_flow():
    log = Translations(destinations=False)
    list(log.follow([opened(1)]))
    assert followed(log, events.FlowFinished(5.0, 1)) == [(False, 5.0)]
    assert followed(log, closed(1, 9.0)) == []


def test_a_connection_that_continues_after_a_reset_begins_again():
    log = Translations(destinations=False)
    list(log.follow([opened(1), events.FlowFinished(5.0, 1)]))
    assert followed(log, events.FlowRevived(6.0, 1)) == [(True, 6.0)]
    assert followed(log, closed(1, 9.0)) == [(False, 9.0)]


def test_what_is_alive_at_the_end_ends_with_the_log():
    log = Translations(destinations=False)
    list(log.follow([opened(1), opened(2, protocol=17), opened(3)]))
    ended = list(log.end_all(7.0, "log_stopped"))
    assert [(each.opened, each.reason) for each in ended] == [(False, "log_stopped")] * 2
    assert len(log) == 0


def test_flows_whose_end_was_lost_end_when_that_is_noticed():
    log = Translations(destinations=True)
    list(log.follow([opened(1), opened(2)]))
    ended = list(log.end_all(7.0, "unknown", alive=[2]))
    assert [each.translation.flow for each in ended] == [1]


def actual(engine: Engine, destinations: bool) -> set[Ends]:
    """What the log must have open now."""
    over = engine.table.over
    return {
        Ends(each.protocol, each.inside, each.public, each.remote if destinations else None)
        for each in engine.flows()
        if destinations or each.id not in over
    }


def holders(engine: Engine) -> set[tuple[int, Endpoint, Endpoint]]:
    """The mappings that live flows hold, by the engine's own table."""
    return {
        (each.protocol, each.inside, each.public)
        for each in engine.table.mappings
        if each.flows and not each.shared
    }


@pytest.mark.parametrize("destinations", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_after_each_step_of_anything_the_log_has_open_what_the_engine_has(
    destinations: bool, seed: int
):
    """And in the end, each translation has begun and ended exactly once in turn."""
    stress, chance = Stress(), Random(seed)
    log, found = Translations(destinations), list[Record]()
    happened: list[Event] = []
    add = stress.engine.manager.events.add
    stress.engine.manager.events.add = lambda event: (happened.append(event), add(event))  # type: ignore[method-assign, assignment, func-returns-value]
    steps = [getattr(stress, name) for name in STEPS.split()]
    begun = 0
    for _ in range(600):
        steps[chance.randrange(len(steps))](chance.randrange)
        begun += sum(isinstance(each, events.FlowOpened) for each in happened)
        found += log.follow(happened)
        happened.clear()
        assert log.open() == actual(stress.engine, destinations)
        if not destinations:
            assert holders(stress.engine) <= {each[:3] for each in log.open()}
    assert begun > 50
    found += log.end_all(stress.now, "log_stopped")
    turns = Counter[Ends | int]()
    for record in found:
        key = record.translation.flow if destinations else record.translation.ends
        turns[key] += 1 if record.opened else -1
        assert turns[key] == (1 if record.opened else 0)
    assert not any(turns.values())
    starts = sum(record.opened for record in found)
    assert starts == begun if destinations else starts <= begun
