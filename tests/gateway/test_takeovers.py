"""A member that has followed nobody takes over what another one has left in a real store."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from math import inf
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.batches import Part, pack
from ipmasq.continuity.feed import Feed
from ipmasq.continuity.follower import Follower
from ipmasq.continuity.lease import key
from ipmasq.continuity.server import Address
from ipmasq.continuity.settings import HaSettings
from ipmasq.core.changes import Kind, Record
from ipmasq.core.engine import Engine
from ipmasq.core.policy import Policy
from ipmasq.core.restoring import Kept
from ipmasq.core.side import Side
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.offloading import Offloading
from ipmasq.gateway.replication import Replication, of_share
from ipmasq.gateway.serving import Serving
from ipmasq.gateway.takeovers import Takeovers
from ipmasq.planes.fastpath import NoFastPath
from tests.continuity.stores import Store, wait_until
from tests.core.restored import kept
from tests.core.stress import POLICY
from tests.core.test_unrestored_joining import both_shares
from tests.gateway.test_offloading_filled import MANY, talks
from tests.offload.test_filled import Member, Talk, active
from tests.planes.ebpf.model import Model

KEY = b"a secret of the operator"


class Watched(Takeovers):
    """Notes what the fast path forwards just before there is an engine."""

    early: int | None = None
    watch: Callable[[], int]

    def take_over(self, serving: Serving, follower: Follower) -> Replication:
        assert not self._drive.engine.table.count
        self.early = self.watch()
        return super().take_over(serving, follower)


class Second:
    """A member whose process has just begun, and which has the lease already."""

    def __init__(
        self, store: Store, said: list[Talk], policy: Policy = POLICY, share: str = ""
    ) -> None:
        self.said, self.fast, self.loop = said, Model(), Loop()
        self.settings = settings = HaSettings("group", Address.parse(store.url), KEY, "second")
        plane: Any = SimpleNamespace(fast=NoFastPath(table=self.fast), claim=lambda *_: None)
        operator: Any = SimpleNamespace(
            publish_by=lambda _: None, follow=lambda *_, **__: policy, forget=lambda: policy
        )
        self.engine = Engine(policy.serving(()), Random(2).randrange, self.loop.clock())
        self.drive = Drive(self.engine, plane, self.loop)
        self.drive.answers, self.drive.until = False, -inf
        self.offloading = Offloading(self.drive, plane)
        self.offloading.begin()
        self.takeovers = Watched(
            settings, self.drive, self.offloading, operator, lambda: None, self._served
        )
        self.takeovers.watch = self.forwarded
        ring, clock = lambda: None, self.loop.clock
        connect, vote = store.connect, lambda *_: False
        self.serving = Serving(share, settings, connect, clock, ring, vote, self.takeovers)
        self.loop.every(0.005, self.look)

    def _served(self) -> list[Serving]:
        return [self.serving] if self.serving.replication is not None else []

    def look(self) -> None:
        self.serving.look()
        self.drive.until = self.serving.until
        self.takeovers.limit()

    def forwarded(self) -> int:
        """How many of the flows the fast path forwards."""
        now = time.monotonic()
        found = [self.fast.forward(each.data(), Side.INSIDE, now) for each in self.said]
        return sum(each is not None for each in found)

    def begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Get the lease, and only then begin to read."""
        self.serving.fence.start()
        self.serving.activate()
        wait_until(lambda: self.serving.fence.generation)
        with monkeypatch.context() as late:
            late.setattr(Follower, "start", lambda _: None)
            self.serving._follow()
        self.look()
        assert self.serving.follower is not None
        self.serving.follower.start()

    def rounds(self, until: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not until():
            assert time.monotonic() < end
            self.loop.round()

    def wait_until_ahead(self) -> None:
        """Until the fast path forwards some of what was read."""
        serving = self.serving
        self.rounds(lambda: serving.follower is not None and serving.follower.is_read)
        self.look()

    def close(self) -> None:
        self.serving.stop()


def publish(store: Store, before: Member, leave_out: Kind | None = None) -> None:
    """Leave all records of a member in the store."""
    before.carry_out()
    before.offload.refresh()
    write(store, "group", kept(before.engine, before.now), leave_out)


def write(store: Store, part: str, found: list[Kept], leave_out: Kind | None = None) -> None:
    records = [Record(*each[:3]) for each in found]
    feed = Feed(store.connect, Seal(KEY, part, "records"), part, "first", 1, lambda: None)
    feed.append(Part.BEGIN, pack(Part.BEGIN))
    for each in records:
        if each.kind != leave_out:
            feed.append(Part.PART, pack(Part.PART, [each]))
    feed.append(Part.END, pack(Part.END))
    feed.step()
    assert not feed.trouble
    store.client().set(key(part, "generation"), 1)


@pytest.mark.row("HA-7")
def test_the_fast_path_forwards_everything_before_there_is_an_engine(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = talks()
    before = active(*said)
    counted = [before.counts(number)[0] for number in range(1, MANY + 1)]
    publish(store, before)
    with closing(Second(store, said)) as second:
        second.begin(monkeypatch)
        second.rounds(lambda: second.serving.replication)
        assert second.takeovers.early == MANY
        assert second.forwarded() == MANY
        second.rounds(lambda: second.engine.is_restored and not second.fast.inherits)
        second.offloading.offloader.refresh()
        flows = [second.engine.table.flows[number] for number in range(1, MANY + 1)]
        assert [flow.original.packets for flow in flows] == [each + 2 for each in counted]
        assert len(second.fast.slots) == 2 * MANY


def test_a_policy_that_is_another_one_now_decides_what_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flows are restored at once, and what the fast path has forwarded until then is emptied."""
    said = talks()
    publish(store, active(*said))
    policy = replace(POLICY, timeouts=replace(POLICY.timeouts, udp=POLICY.timeouts.udp + 1))
    with closing(Second(store, said, policy)) as second:
        second.begin(monkeypatch)
        second.rounds(lambda: second.serving.replication)
        assert second.takeovers.early == MANY
        assert second.engine.table.count == MANY
        second.rounds(lambda: second.offloading.offloader.entered == MANY)
        assert second.forwarded() == MANY // 2, "those of UDP: those of TCP await their positions"


def test_records_that_cannot_be_used_leave_nothing_in_the_fast_path(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = talks()
    publish(store, active(*said), leave_out=Kind.MAPPING)
    with closing(Second(store, said)) as second:
        second.begin(monkeypatch)
        second.rounds(lambda: second.serving.replication)
        assert not second.engine.table.count
        assert second.forwarded() == 0
        second.rounds(lambda: not second.fast.slots)
        assert second.forwarded() == 0


@pytest.mark.row("HA-13")
def test_a_lease_that_is_lost_before_there_is_an_engine_ends_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = talks()
    publish(store, active(*said))
    with closing(Second(store, said)) as second:
        second.begin(monkeypatch)
        serving = second.serving
        second.wait_until_ahead()
        assert second.forwarded() > 0
        serving.stand_by()
        assert second.forwarded() == 0, "another member may have the lease at once"
        wait_until(lambda: not serving.fence.generation)
        second.look()
        assert second.forwarded() == 0
        second.rounds(lambda: not second.fast.slots)
        serving.activate()
        second.rounds(lambda: serving.replication)
        second.rounds(lambda: second.offloading.offloader.entered == MANY)
        assert second.forwarded() == MANY


@pytest.mark.row("HA-13")
def test_nothing_is_forwarded_when_the_gateway_stops_before_there_is_an_engine(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = talks()
    publish(store, active(*said))
    with closing(Second(store, said)) as second:
        second.begin(monkeypatch)
        second.wait_until_ahead()
        assert second.forwarded() > 0
        second.takeovers.stop()
        assert second.forwarded() == 0


def test_the_lease_of_another_share_that_is_lost_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what stands in the fast path would be forwarded under the other's lease when that is had again."""
    said = talks()
    publish(store, active(*said))
    with closing(Second(store, said)) as second:
        second.begin(monkeypatch)
        second.wait_until_ahead()
        follower = second.serving.follower
        second.rounds(lambda: follower is not None and not follower.is_read)
        other = Serving(
            "",
            second.settings,
            store.connect,
            second.loop.clock,
            int,
            lambda *_: False,
            second.takeovers,
        )
        second.takeovers.expect_nothing(other)
        second.look()
        assert second.forwarded() > 0
        second.rounds(lambda: second.serving.replication)
        assert second.takeovers.early == MANY


def test_a_share_goes_on_whose_former_member_has_served_another_one_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records number pools from those of the other share on."""
    before, both, now = both_shares(1)
    belongs = of_share(before, "two")
    records = [each for each in kept(before, now) if belongs(each[:2])]
    settings = HaSettings("group", Address.parse(store.url), KEY, "second")
    write(store, settings.part("two"), records)
    with closing(Second(store, [], both, "two")) as second:
        second.begin(monkeypatch)
        second.rounds(lambda: second.serving.replication)
        assert second.engine.table.count == sum(each.kind == Kind.FLOW for each in records) > 0
        second.rounds(lambda: second.engine.is_restored and not second.fast.inherits)
        second.engine.check()
