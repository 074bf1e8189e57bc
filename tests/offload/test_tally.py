"""The packets of all flows are counted on by the next process, and none of them twice."""

from __future__ import annotations

from random import Random

import pytest

from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from tests.core.restored import Journal
from tests.core.stress import POLICY
from tests.offload.test_filled import Member, Talk, active
from tests.planes.ebpf.model import Model

ALL = 1000


class Lasting:
    """A gateway with two flows whose process ends again and again, and its journal."""

    def __init__(self) -> None:
        self.talks = Talk(4000, is_tcp=False), Talk(4001, is_tcp=False)
        self.fast = Model()
        self.member = active(*self.talks, fast=self.fast)
        self.journal = Journal(self.member.engine, self.member.now)
        self.forwarded = self.tally()

    def forward(self, count: int, which: int = 0) -> None:
        for _ in range(count):
            assert self.talks[which].out(self.member)
        self.forwarded += count

    def tally(self) -> int:
        self.member.offload.refresh()
        return self.member.offload.tally.packets

    def write(self, flows: bool = True, rest: bool = True) -> None:
        """Write records of what has been reported."""
        if flows:
            self.member.engine.mark_flows(0, ALL)
        if rest:
            self.member.engine.mark_small()
        self.journal.follow(self.member.engine, self.member.now)

    def crash(self) -> None:
        """Go on in another process, with what was written and with the slots of this one."""
        self.fast.inherit()
        kept, now = list(self.journal.last.values()), self.member.now
        engine = Engine.from_records(POLICY, Random(1).randrange, kept, now, True)
        self.member = Member(engine, now, self.fast)
        for flow in list(engine.table.flows):
            engine.restate(flow)
        self.member.carry_out()
        self.journal = Journal(engine, now)


@pytest.fixture
def life() -> Lasting:
    return Lasting()


def test_what_was_forwarded_counts_on_in_each_next_process(life: Lasting) -> None:
    for _ in range(3):
        life.forward(5)
        life.tally()
        life.write()
        life.forward(2)  # while nobody runs
        life.crash()
        assert life.tally() == life.forwarded > 0


def test_what_is_newer_than_the_record_of_its_flow_is_not_counted_twice(life: Lasting) -> None:
    life.forward(5)
    life.tally()
    life.write()
    life.forward(3)
    life.forward(4, which=1)
    life.tally()
    life.write(flows=False)
    life.crash()
    life.crash()
    assert life.tally() == life.forwarded


def test_what_is_newer_than_the_last_record_of_the_tally_alone_is_lost(life: Lasting) -> None:
    life.forward(5)
    life.tally()
    life.write()
    life.forward(3)
    life.tally()
    life.write(rest=False)
    life.forward(1)
    life.crash()
    assert life.tally() == life.forwarded - 3


def test_a_flow_that_has_ended_stays_counted(life: Lasting) -> None:
    life.forward(5)
    number = life.member.engine.table.numbers()[0]
    assert life.member.engine.close(number, life.member.now)
    life.member.carry_out()
    life.write(flows=False)
    life.crash()
    assert life.tally() == life.forwarded


def test_another_fast_path_of_the_same_engine_counts_on(life: Lasting) -> None:
    life.forward(5)
    life.member.offload.stop()
    life.member = Member(life.member.engine, life.member.now, Model())
    assert life.member.offload.tally.packets == life.forwarded
    life.write()
    life.fast = Model()
    life.crash()
    assert life.tally() == life.forwarded


def test_a_state_without_a_tally_begins_one(life: Lasting) -> None:
    life.forward(5)
    life.write()
    key = next(each for each in life.journal.last if each[0] == Kind.REST)
    row = life.journal.last[key].row
    assert isinstance(row, dict)
    del row["offloaded"]
    life.crash()
    assert life.tally() == 5, "those since the record of their flow"
