"""What is published for the other members of a group."""

from __future__ import annotations

from random import Random

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.feed import Feed
from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.records import records
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.replication import Publisher, Replication, of_share
from tests.core.restored import plain, serialised, written
from tests.core.test_joining import OWN, START, divided, policy
from tests.core.test_unrestored_joining import later, talked

SEAL = Seal(b"a secret of the operator", "group", "records")


def whole() -> Engine:
    return talked(divided(policy(helpers=())).serving(["one", "two"]), START)


def published(engine: Engine) -> Publisher:
    loop = Loop()
    loop.clock = lambda: START  # type: ignore[method-assign]
    engine.keep_changes()
    return Publisher(engine, loop)


def test_a_snapshot_has_the_flows_that_are_not_restored_yet() -> None:
    before = whole()
    engine = later(before, START)
    assert not engine.table.flows
    publisher = published(engine)
    found = serialised(publisher.present(list(publisher.keys())))
    made = Engine.from_records(before.policy, Random(3).randrange, written(found, START), START)
    assert plain(made, START) == plain(before, START)


def test_what_is_not_restored_yet_is_not_taken_for_gone() -> None:
    """Keys may be known from elsewhere than from the list of all that there is."""
    before = whole()
    keys = [
        each[:2]
        for each in records(before.manager, START)
        if each.kind in (Kind.FLOW, Kind.MAPPING)
    ]
    found = published(later(before, START)).present(keys)
    assert len(found) == len(keys) > 10
    assert None not in [each.row for each in found]


def test_a_snapshot_waits_until_all_flows_are_restored() -> None:
    """Meanwhile the stream goes on with what it has, and no packet waits for a snapshot that restores them."""
    engine = later(whole(), START)
    publisher = published(engine)
    feed = Feed(lambda _: None, SEAL, "group", "one", 1, lambda: None)  # type: ignore[arg-type, return-value]
    replication = Replication(publisher, feed, 0.002, 1.0, of_share(engine, ""))
    replication.begin_snapshot_if_wanted()
    assert (feed.wants_snapshot, feed.waiting, engine.table.flows) == (True, 0, {})
    while not engine.is_restored:
        engine.restore_some(5)
    replication.begin_snapshot_if_wanted()
    assert not feed.wants_snapshot
    assert feed.waiting > 1000


def test_flows_that_are_not_restored_yet_belong_to_their_share() -> None:
    engine = later(whole(), START)
    assert engine.table.flow(1).client.translated.address == OWN
    engine = later(whole(), START)
    keys = [(Kind.FLOW, number) for number in engine.table.numbers()]
    assert keys
    assert all(map(of_share(engine, "one"), keys))
    assert not any(map(of_share(later(whole(), START), "two"), keys))
