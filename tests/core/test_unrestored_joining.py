"""Flows that are restored later, in a group: what another member has served joins them, and shares are given away."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ipmasq.core import events
from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.plain import StateError
from ipmasq.core.policy import Policy
from ipmasq.core.reasons import Reason
from ipmasq.core.restoring import compacted
from ipmasq.core.side import Side
from ipmasq.core.views import FlowView
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.core.restored import Journal, difference, kept, plain, restored, tidy_pools
from tests.core.stress import Stress
from tests.core.test_joining import HOST, START, divided
from tests.core.test_restoring import happens

SERVER = b"\xc6\x33\x64\x01"


def talked(policy: Policy, now: float, flows: int = 12) -> Engine:
    """A member with answered UDP flows of the host of share `one`."""
    engine = Engine(policy, Random(7).randrange, now)
    for number in range(flows):
        ends = HOST.address, 5000 + number % 8, SERVER, 53 + number // 8
        (sent,) = engine.receive(
            Packet(bytearray(packets.udp(*ends, b"?"))), Side.INSIDE, now
        ).packets
        public = packets.read(bytes(sent.data)).source
        answer = packets.udp(SERVER, ends[3], *public, b"!")
        assert engine.receive(Packet(bytearray(answer)), Side.OUTSIDE, now).packets
    return engine


def later(engine: Engine, now: float, policy: Policy | None = None) -> Engine:
    """The same engine after a restart, with plain flows that are not restored yet."""
    others, compact = compacted(kept(engine, now))
    uses = tuple(each.use for each in engine.manager.registered.values())
    policy = policy or replace(engine.policy, helpers=uses)
    made = Engine.from_records(policy, Random(2).randrange, others, now, compact=compact)
    made.check()
    return made


def waiting(engine: Engine) -> int:
    return engine.table.count - len(engine.table.flows)


def same(one: Engine, other: Engine, now: float) -> None:
    for each in (one, other):
        tidy_pools(each)
        each.check()
    first, second = plain(one, now), plain(other, now)
    assert first == second, difference("state", first, second)


def views(engine: Engine) -> dict[int, FlowView]:
    return {view.id: view for view in engine.flows()}


@pytest.mark.parametrize("restored_before", [0, 1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_flows_of_another_member_join_those_that_wait(seed: int, restored_before: int) -> None:
    """The same as if those had been restored at once."""
    stress, joined, waited = Stress(START), 0, 0
    for step in happens(stress, Random(seed), 150):
        if step % 30:
            continue
        used = tuple(each.use for each in stress.engine.manager.registered.values())
        both = replace(divided(stress.engine.policy), helpers=used).serving(["one", "two"])
        own = talked(both, stress.now)
        lazy, eager = later(own, stress.now), restored(own, Random(2), stress.now)
        lazier = later(own, stress.now)
        for each in lazy, lazier:
            each.restore_some(restored_before)
            assert waiting(each) > 0
        records = kept(stress.engine, stress.now)
        count = lazy.join(records, stress.now)
        assert eager.join(records, stress.now) == count == len(stress.engine.table.flows)
        others, compact = compacted(records)
        assert lazier.join(others, stress.now, compact) == count
        lazier.check()
        assert len(compact.flows) >= waiting(lazier)
        waited += waiting(lazier)
        assert lazy.table.count == own.table.count + count
        for each in lazy, lazier:
            assert {number: each.flow(number) for number in views(own)} == views(own)
            same(each, eager, stress.now)
            while not each.is_restored:
                each.restore_some(3)
        joined += count
    assert joined > 20
    assert waited > 0


def both_shares(seed: int) -> tuple[Engine, Policy, float]:
    """A member that serves both shares, and has flows of both."""
    stress = Stress(START)
    for step in happens(stress, Random(seed), 400):
        if step > 100 and len(stress.engine.table.flows) > 8:
            break
    used = tuple(each.use for each in stress.engine.manager.registered.values())
    both = replace(divided(stress.engine.policy), helpers=used)
    engine = talked(both.serving(["one", "two"]), stress.now)
    assert engine.join(kept(stress.engine, stress.now), stress.now) > 0
    engine.events()
    return engine, both, stress.now


def test_flows_that_have_joined_and_those_that_waited_before_are_reported_once() -> None:
    """So that a fast path learns of each of them."""
    engine, both, now = both_shares(1)
    engine.apply(both.serving(["two"]), now)
    others, compact = compacted(kept(engine, now))
    whole = both.serving(["one", "two"])
    lazy = later(talked(whole, now), now)
    before = lazy.table.count
    count = lazy.join(others, now, compact)
    assert waiting(lazy) > 0
    fresh: list[int] = []
    while not lazy.is_restored:
        fresh += lazy.restore_some(2)
    assert len(fresh) == len(set(fresh)) == before + len(compact.flows)
    assert lazy.table.count == before + count


def test_rows_that_contradict_live_flows_do_not_join() -> None:
    engine, _, now = both_shares(1)
    others, compact = compacted(kept(engine, now))
    with pytest.raises(StateError, match=r"same addresses|same endpoint|port of another"):
        engine.join(others, now, compact)


@pytest.mark.parametrize("left", ["one", "two"])
@pytest.mark.parametrize("restored_before", [0, 1, 7])
@pytest.mark.parametrize("seed", range(3))
def test_a_share_is_given_away_before_all_its_flows_are_restored(
    seed: int, restored_before: int, left: str
) -> None:
    """It ends the same flows as if all had been restored before."""
    engine, both, now = both_shares(seed)
    lazy, eager = later(engine, now), restored(engine, Random(2), now)
    lazy.restore_some(restored_before)
    assert waiting(lazy) > 0
    closed = [each.apply(both.serving([left]), now) for each in (lazy, eager)]
    assert closed[0] == closed[1] > 0
    same(lazy, eager, now)
    told = [each for each in lazy.events() if isinstance(each, events.FlowClosed)]
    assert Reason.ADDRESS_GONE in {each.reason for each in told}
    assert sorted(told, key=repr) == sorted(
        (each for each in eager.events() if isinstance(each, events.FlowClosed)), key=repr
    )
    public = {view.public.address for view in lazy.flows()}
    assert public <= set(both.serving([left]).public)
    assert lazy.claims() == eager.claims()


@pytest.mark.parametrize("seed", range(3))
def test_a_share_that_was_given_away_while_no_gateway_ran_is_not_served_again(seed: int) -> None:
    engine, both, now = both_shares(seed)
    own = {
        number: view
        for number, view in views(engine).items()
        if view.inside.address == HOST.address
    }
    assert own
    lazy = later(engine, now, both.serving(["one"]))
    assert lazy.is_restored
    lazy.check()
    public = {view.public.address for view in lazy.flows()}
    assert public == set(both.serving(["one"]).public)
    assert own.keys() <= views(lazy).keys()


def test_who_follows_the_changes_has_the_flows_that_have_joined() -> None:
    engine, _, now = both_shares(1)
    records = kept(engine, now)
    whole = engine.policy
    lazy = later(talked(whole, now, 0), now)
    journal = Journal(lazy, now)
    lazy.join(records, now)
    journal.follow(lazy, now)
    one, other = (
        {(each.kind, each.key) for each in records if each.kind in (Kind.FLOW, Kind.MAPPING)}
        for records in (journal.last.values(), kept(lazy, now))
    )
    assert one == other
