"""What is written at once is always enough for an engine that goes on; the rest follows when it is older."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ipmasq.continuity.batches import Part, pack, unpack
from ipmasq.continuity.delay import INSPECTOR, MASTER, Delay, is_urgent
from ipmasq.core.changes import Key, Kind, Record
from ipmasq.core.engine import Engine
from ipmasq.core.restoring import Kept
from tests.core.stress import Stress
from tests.core.test_restoring import START, happens

MAPPING, FLOW = Kind.MAPPING, Kind.FLOW


def flow(number: int, inspector: object = None, master: int | None = None) -> Record:
    row: list[object] = [None] * 40
    row[INSPECTOR], row[MASTER] = inspector, master
    return Record(FLOW, number, row)


def test_a_plain_flow_is_written_when_it_is_old_enough_as_it_is_then():
    delay, first, later = Delay(1.0), flow(1), flow(1)
    assert delay.choose([first], 10.0) == []
    assert delay.next == 11.0
    assert delay.choose([later], 10.9) == []
    assert delay.choose([], 11.0) == [later]
    assert delay.next is None


def test_a_plain_flow_that_ends_before_is_never_written():
    delay, gone = Delay(1.0), Record(FLOW, 1, None)
    delay.choose([flow(1)], 10.0)
    assert delay.choose([gone], 10.5) == []
    assert delay.choose([], 12.0) == []


def test_the_end_of_what_was_written_is_written_at_once():
    delay, gone = Delay(1.0), Record(FLOW, 1, None)
    delay.choose([flow(1)], 10.0)
    delay.choose([], 11.0)
    assert delay.choose([gone], 11.5) == [gone]
    assert delay.choose([gone], 11.6) == []


def test_an_inspected_flow_and_its_data_flow_are_written_at_once_with_all_mappings():
    delay, mapping = Delay(1.0), Record(MAPPING, 7, ["row"])
    assert delay.choose([mapping], 10.0) == []
    control, data = flow(1, inspector=["row"]), flow(2, master=1)
    assert is_urgent(control)
    assert is_urgent(data)
    assert delay.choose([control], 10.1) == [mapping, control]
    assert delay.choose([data], 10.2) == [data]


@pytest.mark.row("HA-7")
@pytest.mark.parametrize("seed", range(4))
def test_an_engine_can_always_be_made_of_what_was_written(seed: int):
    stress, chance, delay = Stress(START), Random(seed), Delay(1.0)
    engine = stress.engine
    rows: dict[Key, tuple[object, float]] = {}
    engine.keep_changes()
    first = list(engine.records(stress.now))
    delay.note(first)
    rows |= {(each.kind, each.key): (each.row, stress.now) for each in first}
    for step in happens(stress, chance, 1500):
        stress.engine.events()
        for kind, name, row in unpack(
            pack(Part.CHANGES, delay.choose(engine.changed(stress.now), stress.now))
        ).records:
            if row is None:
                rows.pop((kind, name), None)
            else:
                rows[kind, name] = row, stress.now
        if step % 25 == 0:
            restore(engine, rows, stress.now)
    assert len(rows) > 10


def restore(engine: Engine, rows: dict[Key, tuple[object, float]], now: float) -> Engine:
    uses = tuple(each.use for each in engine.manager.registered.values())
    policy = replace(engine.policy, helpers=uses)
    kept = [Kept(kind, name, row, moment) for (kind, name), (row, moment) in rows.items()]
    return Engine.from_records(policy, Random(1).randrange, kept, now)
