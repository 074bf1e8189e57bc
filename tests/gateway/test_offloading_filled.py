"""What the fast path has after this gateway has taken over, and when."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from ipmasq.core.compact import FLOW
from ipmasq.core.engine import Engine
from ipmasq.core.restoring import compacted
from ipmasq.core.side import Side
from ipmasq.gateway import offloading
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.offloading import Offloading
from ipmasq.offload.offload import PROTOCOLS
from ipmasq.planes.fastpath import NoFastPath
from tests.core.restored import kept
from tests.core.stress import POLICY
from tests.core.test_unrestored_joining import both_shares, later, talked
from tests.offload.test_filled import Member, Talk, active, counts, successor
from tests.planes.ebpf.model import Model, halves_of

MANY = 12


class Gateway:
    def __init__(self, engine: Engine, fast: Model) -> None:
        self.engine, self.fast, self.loop = engine, fast, Loop()
        self.now = 1.0
        self.loop.clock = self._clock  # type: ignore[method-assign]
        plane: Any = SimpleNamespace(fast=NoFastPath(table=fast))
        self.drive = Drive(engine, plane, self.loop)
        self.offloading = Offloading(self.drive, plane)
        self.offloading.begin()

    def _clock(self) -> float:
        self.now += 1e-6
        return self.now

    def become(self, engine: Engine) -> None:
        """As when this gateway gets its role, or loses it."""
        self.offloading.forget()
        self.engine.become(engine)
        self.offloading.begin()

    def turn(self) -> None:
        self.now = max(self.now, self.loop._timers[0][0])  # so that nobody waits
        self.loop.round()
        self.drive.carry_out(self.engine.commands())

    def settle(self) -> None:
        for _ in range(10 * MANY):
            self.turn()
        assert self.engine.is_restored


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offloading, "FILLED_AT_ONCE", 5)
    monkeypatch.setattr(offloading, "RESTORED_AT_ONCE", 2)


def talks() -> list[Talk]:
    return [Talk(4000 + number, number % 2 == 0) for number in range(MANY)]


def taking_over(before: Member, fast: Model | None = None) -> Gateway:
    gateway = Gateway(Engine(POLICY, Random(2).randrange, 0.0), fast or Model())
    gateway.now = before.now + 1
    gateway.become(successor(before, fills=False).engine)
    return gateway


def test_all_flows_stand_in_the_fast_path_before_the_first_one_is_restored() -> None:
    gateway = taking_over(active(*talks()))
    for _ in range(1 + MANY // 5):
        gateway.turn()
        assert not gateway.engine.table.flows
    assert len(gateway.fast.slots) == 2 * MANY
    gateway.settle()
    assert gateway.engine.is_restored
    assert not gateway.fast.inherits
    assert gateway.offloading.offloader.entered == MANY


def test_a_flow_that_ends_meanwhile_is_gone_from_the_fast_path() -> None:
    gateway = taking_over(active(*talks()))
    gateway.turn()
    for number in (1, MANY):
        assert gateway.engine.close(number, gateway.now)
    gateway.settle()
    assert len(gateway.fast.slots) == 2 * (MANY - 2)


@pytest.mark.parametrize("turns", range(0, 12, 2))
def test_a_gateway_that_loses_its_role_and_gets_it_again_counts_nothing_of_before(
    turns: int,
) -> None:
    """Its table is full of what it has not restored, or has to some part."""
    said = talks()
    before = active(*said)
    counted = [before.counts(number) for number in range(1, MANY + 1)]
    gateway = taking_over(before)
    for _ in range(turns):
        gateway.turn()
    for each in said:
        gateway.fast.forward(each.data(), Side.INSIDE, gateway.now)
    gateway.become(Engine(POLICY, Random(2).randrange, 0.0))
    gateway.become(successor(before, fills=False).engine)
    gateway.settle()
    gateway.offloading.offloader.refresh()
    flows = [gateway.engine.table.flows[number] for number in range(1, MANY + 1)]
    assert [counts(flow) for flow in flows] == counted
    assert len(gateway.fast.slots) == 2 * MANY


def test_what_is_left_from_an_earlier_role_is_not_forwarded_since_it_may_have_been_closed() -> None:
    said = {each.port: each for each in talks()}
    before = active(*said.values())
    gateway = taking_over(before)
    while len(gateway.fast.slots) < 2 * MANY:
        gateway.turn()
    gateway.become(Engine(POLICY, Random(2).randrange, 0.0))
    gateway.become(successor(before, fills=False).engine)
    assert gateway.fast.inherits
    *closed, last = list(gateway.engine.flows())
    for view in closed:
        assert gateway.engine.close(view.id, gateway.now)
        gateway.drive.carry_out(gateway.engine.commands())
        data = said[view.inside.port].data()
        gateway.offloading.look()
        assert gateway.fast.forward(data, Side.INSIDE, gateway.now) is None
    gateway.settle()
    assert len(gateway.fast.slots) == 2
    gateway.offloading.look()
    data = said[last.inside.port].data()
    assert gateway.fast.forward(data, Side.INSIDE, gateway.now) is not None


def test_a_table_that_an_earlier_process_has_filled_is_not_filled_again() -> None:
    before = active(*talks())
    before.fast.inherit()
    slots = before.fast.slots.copy()
    engine = successor(before, fills=False).engine
    gateway = Gateway(engine, before.fast)
    gateway.settle()
    assert before.fast.slots == slots
    assert gateway.offloading.offloader.entered == MANY


def test_where_there_is_no_fast_path_nothing_is_filled() -> None:
    engine = successor(active(*talks()), fills=False).engine
    gateway = Gateway(engine, Model(capacity=0))
    gateway.settle()
    assert engine.is_restored
    assert not gateway.fast.slots


@pytest.mark.parametrize("turns", [0, 2, 100])
def test_flows_of_another_share_stand_in_the_fast_path_before_they_are_restored(turns: int) -> None:
    engine, both, now = both_shares(1)
    engine.apply(both.serving(["two"]), now)
    others, compact = compacted(kept(engine, now))
    own = later(talked(both.serving(["one", "two"]), now), now)
    gateway = Gateway(own, Model())
    gateway.now = now
    for _ in range(turns):
        gateway.turn()
    known = own.manager.opened
    own.join(others, now, compact)
    unrestored = own.table.unrestored
    assert unrestored
    waiting, rows = len(unrestored), FLOW.iter_unpack(b"".join(unrestored.rows(1)))
    keys = {key for row in rows for key, _, _ in halves_of(row, 0)}
    gateway.offloading.enter([number for number in own.table.flows if number > known])
    for _ in range(1 + len(compact.flows) // 5):
        if not keys <= gateway.fast.slots.keys():
            gateway.turn()
    assert keys <= gateway.fast.slots.keys()
    assert len(unrestored) == waiting > 0
    gateway.settle()
    found = [flow for flow in own.table.flows.values() if flow.protocol in PROTOCOLS]
    assert gateway.offloading.offloader.entered == len(found)
    assert len(gateway.fast.slots) == 2 * len(found)
    assert not gateway.fast.inherits
