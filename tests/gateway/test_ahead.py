"""The fast path forwards what a takeover has read before there is an engine that knows it."""

from __future__ import annotations

from math import inf
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.batches import Part, pack, unpack
from ipmasq.continuity.follower import Follower
from ipmasq.core.changes import Record
from ipmasq.core.engine import Engine
from ipmasq.core.side import Side
from ipmasq.gateway import ahead
from ipmasq.gateway.ahead import Ahead
from ipmasq.planes.fastpath import NoFastPath
from tests.core.restored import kept
from tests.core.stress import POLICY
from tests.gateway.test_offloading_filled import MANY, Gateway, talks
from tests.offload.test_filled import Member, Talk, active, counts, successor
from tests.planes.ebpf.model import Model

VALID = 5.0
"""Seconds from a lease to its end."""


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "FILLED_AT_ONCE", 5)


class Taking:
    """A gateway that has the lease, and has read what an earlier one has left, but not indexed it."""

    def __init__(self, said: list[Talk], fast: Model | None = None) -> None:
        self.said, self.before = said, active(*said)
        self.gateway = Gateway(Engine(POLICY, Random(2).randrange, 0.0), fast or Model())
        self.gateway.now = self.before.now + 1
        self.gateway.drive.until = -inf
        self.ahead = Ahead(self.gateway.loop, self.gateway.offloading)
        self.serving = serving(self.gateway.now + VALID)
        self.follower = having_read(self.before, self.gateway.now)

    def begin(self) -> None:
        self.ahead.begin(self.serving, self.follower)
        turns = iter(range(10 * MANY))
        while not was_asked_to_index(self.follower):
            assert next(turns, None) is not None, "it waits for ever"
            self.gateway.turn()
        self.limit()

    def limit(self) -> None:
        self.gateway.offloading.ahead_until = self.ahead.until
        self.gateway.offloading.limit()

    def become(self) -> None:
        """Go on as an engine that has all of it."""
        if self.ahead.end(self.serving):
            self.gateway.offloading.pass_on()
        else:
            self.gateway.offloading.forget()
        self.gateway.drive.until = inf
        self.gateway.engine.become(successor(self.before, fills=False).engine)
        self.gateway.offloading.begin()

    def forwarded(self, now: float) -> int:
        """How many of the flows the fast path forwards."""
        fast = self.gateway.fast
        found = [fast.forward(each.data(), Side.INSIDE, now) for each in self.said]
        return sum(each is not None for each in found)


def serving(until: float) -> Any:
    return SimpleNamespace(fence=SimpleNamespace(until=until))


def having_read(before: Member, now: float) -> Follower:
    def connect(_: float) -> object:
        raise AssertionError("it does not read")

    follower = Follower(connect, Seal(b"key", "group", "records"), "group", lambda: now, lambda: 0)
    follower.held.defer()
    follower.finish()
    before.carry_out()
    before.offload.refresh()
    records = [Record(*each[:3]) for each in kept(before.engine, before.now, now)]
    for record in records:
        follower.held.apply(unpack(pack(Part.PART, [record])).changed, now)
    return follower


def was_asked_to_index(follower: Follower) -> bool:
    return follower._indexed == follower._asked


def test_everything_is_forwarded_as_long_as_the_lease_lasts_and_counted_by_the_next_engine() -> (
    None
):
    taking = Taking(talks())
    before = [taking.before.counts(number) for number in range(1, MANY + 1)]
    taking.begin()
    assert was_asked_to_index(taking.follower)
    gateway, now = taking.gateway, taking.gateway.now
    assert not gateway.engine.table.count
    assert len(gateway.fast.slots) == 2 * MANY
    assert taking.forwarded(now) == MANY
    assert taking.forwarded(now + VALID + 1) == 0
    slots = set(gateway.fast.slots)
    taking.become()
    assert set(gateway.fast.slots) == slots
    assert taking.forwarded(gateway.now) == MANY
    gateway.settle()
    gateway.offloading.offloader.refresh()
    flows = [gateway.engine.table.flows[number] for number in range(1, MANY + 1)]
    assert [counts(flow)[0] - was[0] for flow, was in zip(flows, before, strict=True)] == [2] * MANY
    assert gateway.offloading.offloader.entered == MANY
    assert not gateway.fast.inherits


def test_a_lease_that_is_lost_in_between_empties_the_fast_path() -> None:
    taking = Taking(talks())
    taking.begin()
    assert taking.ahead.end(taking.serving)
    taking.gateway.offloading.forget()
    taking.gateway.offloading.begin()
    taking.limit()
    assert taking.forwarded(taking.gateway.now) == 0
    taking.gateway.settle()
    assert not taking.gateway.fast.slots
    taking.serving = serving(taking.gateway.now + VALID)
    taking.follower = having_read(taking.before, taking.gateway.now)
    taking.begin()
    assert taking.forwarded(taking.gateway.now) == MANY


def test_a_lease_that_is_lost_while_it_is_filled_in_ends_that() -> None:
    taking = Taking(talks())
    taking.ahead.begin(taking.serving, taking.follower)
    assert taking.ahead.end(taking.serving)
    filled = len(taking.gateway.fast.slots)
    taking.gateway.turn()
    assert was_asked_to_index(taking.follower)
    assert 0 < filled == len(taking.gateway.fast.slots) < 2 * MANY


def test_a_failure_does_not_let_the_follower_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    taking = Taking(talks())
    offloader, came = taking.gateway.offloading.offloader, [0]
    fill = offloader.fill

    def fail_once(rows: bytes) -> None:
        came[0] += 1
        if came[0] == 1:
            raise MemoryError
        fill(rows)

    monkeypatch.setattr(offloader, "fill", fail_once)
    with pytest.raises(MemoryError):
        taking.ahead.begin(taking.serving, taking.follower)
    taking.begin()
    assert came == [1 + MANY // 5]
    assert 0 < taking.forwarded(taking.gateway.now) < MANY
    taking.become()
    taking.gateway.settle()
    assert taking.gateway.offloading.offloader.entered == MANY


def test_a_fast_path_that_replaces_another_one_meanwhile_gets_everything_from_the_engine() -> None:
    taking = Taking(talks())
    taking.begin()
    gateway = taking.gateway
    gateway.offloading.end()
    new = gateway.fast = Model()
    gateway.offloading._plane.fast = NoFastPath(table=new)  # type: ignore[assignment]
    gateway.offloading.begin()
    taking.become()
    gateway.settle()
    assert len(new.slots) == 2 * MANY
    assert gateway.offloading.offloader.entered == MANY


def test_there_is_nothing_to_wait_for_without_a_fast_path_or_beside_another_takeover() -> None:
    without = Taking(talks(), Model(capacity=0))
    without.ahead.begin(without.serving, without.follower)
    assert was_asked_to_index(without.follower)
    assert without.ahead.until == -inf
    taking = Taking(talks())
    taking.ahead.begin(taking.serving, taking.follower)
    second = having_read(taking.before, taking.gateway.now)
    taking.ahead.begin(serving(inf), second)
    assert was_asked_to_index(second)
    assert not was_asked_to_index(taking.follower)
