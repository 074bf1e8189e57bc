"""What is written at once is always enough for an engine that goes on; the rest follows when it is older."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ipmasq.continuity.batches import Part, pack, unpack
from ipmasq.continuity.delay import INSPECTOR, MASTER, Delay, is_urgent
from ipmasq.continuity.held import Held
from ipmasq.core.changes import Kind, Record
from ipmasq.core.engine import Engine
from ipmasq.core.indexed import Indexed
from tests.core.restored import plain
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
    stream = Stream(Stress(START))
    for step in happens(stream.stress, Random(seed), 1500):
        stream.write()
        if step % 25 == 0:
            stream.restored()
    assert len(stream.held) > 10


@pytest.mark.row("HA-7")
@pytest.mark.parametrize("seed", range(6))
def test_after_takeovers_an_engine_can_be_made_before_there_is_another_snapshot(seed: int):
    """The stream goes on with the records of the former members, while flows are not restored yet."""
    stream, chance = Stream(Stress(START)), Random(seed)
    waited = 0
    for step in happens(stream.stress, chance, 1500):
        stream.write()
        if step % 25 == 0:
            made = stream.restored()
            if step % 75 == 0:
                stream.go_on(made)
                waited += made.table.count - len(made.table.flows)
        elif step % 5 == 0:
            stream.stress.engine.restore_some(1 + chance.randrange(3))
    assert waited > 0


class Stream:
    """What a standby holds of an engine to which something happens."""

    def __init__(self, stress: Stress) -> None:
        self.stress, self.held, self.delay = stress, Held(), Delay(1.0)
        stress.engine.keep_changes()
        first = list(stress.engine.records(stress.now))
        self.delay.note(first)
        self._write(first)

    def _write(self, records: list[Record]) -> None:
        self.held.apply(unpack(pack(Part.CHANGES, records)).changed, self.stress.now)

    def write(self) -> None:
        self.stress.engine.events()
        changed = self.stress.engine.changed(self.stress.now)
        self._write(self.delay.choose(changed, self.stress.now))

    def restored(self) -> Engine:
        """The same engine is made of what was written, whether its plain flows are restored at once or later."""
        engine, held, now = self.stress.engine, self.held, self.stress.now
        uses = tuple(each.use for each in engine.manager.registered.values())
        policy = replace(engine.policy, helpers=uses)
        assert held.plain.confirm(dict(held.plain.mappings.pools)) is held.plain
        kept, chance = held.of_engine(), Random(1).randrange
        make = type(engine).from_records
        eager = make(policy, chance, [*kept, *held.rows_as_records()], now)
        later = [self._index() for _ in range(2)]
        first, second = (make(policy, chance, kept, now, compact=each) for each in later)
        first.check()
        assert plain(eager, now) == plain(first, now)
        return second

    def _index(self) -> Indexed:
        return Indexed.of(self.held.plain.compact, self.held.plain.mappings.pools)

    def go_on(self, engine: Engine) -> None:
        """Another member takes over."""
        self.stress.engine = engine  # type: ignore[assignment]
        self.delay = Delay(1.0, engine.manager.opened)
        engine.keep_changes()
        engine.mark_small()
        for number in self.held.plain.unused_numbers():
            engine.manager.changes.mapping(number)
