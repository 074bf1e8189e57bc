"""Replication through a real server: what the feed writes, the follower holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ipmasq.continuity.authentic import Entry, Refusal, Seal
from ipmasq.continuity.batches import Part, pack
from ipmasq.continuity.feed import MOST_WAITING, Feed
from ipmasq.continuity.follower import Follower
from ipmasq.continuity.lease import key
from ipmasq.continuity.server import Client
from ipmasq.core.changes import Record
from ipmasq.core.compact import FLOW, unpack_flow
from ipmasq.core.tcp_states import State
from tests.continuity.stores import Store, wait_until

SEAL = Seal(b"a secret of the operator", "group", "records")
STREAM = key("group", "stream")


@contextmanager
def feeding(store: Store, generation: int = 1, member: str = "one") -> Iterator[Feed]:
    feed = Feed(store.connect, SEAL, "group", member, generation, lambda: None)
    feed.start()
    try:
        yield feed
    finally:
        feed.close()


@contextmanager
def following(store: Store) -> Iterator[Follower]:
    follower = Follower(store.connect, SEAL, "group", time.monotonic, lambda: None)
    follower.start()
    try:
        yield follower
    finally:
        follower.close()


def give_snapshot(feed: Feed, *records: Record) -> None:
    feed.append(Part.BEGIN, pack(Part.BEGIN))
    feed.append(Part.PART, pack(Part.PART, records))
    feed.append(Part.END, pack(Part.END))


def resynchronise(feed: Feed, follower: Follower, *records: Record) -> None:
    """Give a snapshot whenever one is wanted, as the gateway does, until a follower holds it: while the store is in trouble,
    one that is begun is dropped and wanted again."""

    def is_held() -> bool:
        if feed.wants_snapshot and not feed.trouble:
            feed.wants_snapshot = False
            give_snapshot(feed, *records)
        return follower.is_complete and held(follower) == {
            (each.kind, each.key): each.row for each in records
        }

    wait_until(is_held)


def change(feed: Feed, *records: Record) -> int:
    return feed.append(Part.CHANGES, pack(Part.CHANGES, records))


def held(follower: Follower) -> dict[tuple[int, int | str], object]:
    return {name: row.row for name, row in follower.held.records.items()}


def flow(number: int, row: object) -> Record:
    return Record(3, number, row)


def test_a_follower_holds_the_snapshot_and_what_has_changed_since(store: Store):
    with feeding(store) as feed, following(store) as follower:
        give_snapshot(feed, flow(1, ["a"]), flow(2, ["b"]))
        change(feed, flow(1, None), flow(2, ["c", b"\xff"]), flow(3, ["d"]))
        wait_until(lambda: follower.entries == 4)
        assert follower.is_complete
        assert held(follower) == {(3, 2): ["c", b"\xff"], (3, 3): ["d"]}
        assert not follower.refused


def test_a_follower_that_comes_later_holds_the_same(store: Store):
    with feeding(store) as feed:
        give_snapshot(feed, flow(1, ["a"]))
        change(feed, flow(2, ["b"]))
        wait_until(lambda: feed.acknowledged == 4)
    with following(store) as follower:
        wait_until(lambda: follower.is_complete)
        wait_until(lambda: held(follower) == {(3, 1): ["a"], (3, 2): ["b"]})


def test_a_change_during_a_snapshot_is_not_overwritten(store: Store):
    with feeding(store) as feed, following(store) as follower:
        feed.append(Part.BEGIN, pack(Part.BEGIN))
        feed.append(Part.PART, pack(Part.PART, [flow(1, ["old"]), flow(2, ["old"])]))
        change(feed, flow(1, ["new"]), flow(2, None))
        feed.append(Part.END, pack(Part.END))
        wait_until(lambda: follower.is_complete)
        assert held(follower) == {(3, 1): ["new"]}


def test_what_was_numbered_anew_never_meets_what_has_other_numbers(store: Store):
    """Until there is a snapshot, a follower holds what there was."""
    with feeding(store) as feed, following(store) as follower:
        give_snapshot(feed, flow(1, ["a"]), flow(2, ["b"]))
        wait_until(lambda: follower.is_complete)
        feed.append(Part.ANEW, pack(Part.ANEW))
        change(feed, flow(2, ["a"]), flow(1, None))
        feed.append(Part.BEGIN, pack(Part.BEGIN))
        feed.append(Part.PART, pack(Part.PART, [flow(2, ["a"]), flow(3, ["b"])]))
        change(feed, flow(3, ["c"]))
        wait_until(lambda: follower.entries == 8)
        assert held(follower) == {(3, 1): ["a"], (3, 2): ["b"]}
        feed.append(Part.END, pack(Part.END))
        wait_until(lambda: follower.entries == 9)
        assert held(follower) == {(3, 2): ["a"], (3, 3): ["c"]}
        change(feed, flow(2, None))
        wait_until(lambda: held(follower) == {(3, 3): ["c"]})
        assert follower.is_complete


def test_a_writer_goes_on_with_what_there_was_before_a_snapshot_of_another_one(store: Store):
    """One that has numbered things anew was lost before its snapshot was whole."""
    with feeding(store) as feed, following(store) as follower:
        give_snapshot(feed, flow(1, ["a"]), flow(2, ["b"]))
        wait_until(lambda: follower.is_complete)
        with feeding(store, 2, "two") as second:
            second.append(Part.ANEW, pack(Part.ANEW))
            second.append(Part.BEGIN, pack(Part.BEGIN))
            second.append(Part.PART, pack(Part.PART, [flow(2, ["a"])]))
            wait_until(lambda: follower.entries == 6)
        with feeding(store, 3, "three") as third:
            change(third, flow(2, ["c"]))
            wait_until(lambda: held(follower) == {(3, 1): ["a"], (3, 2): ["c"]})
        assert follower.is_complete
        with following(store) as later:
            wait_until(lambda: later.entries == 7)
            assert held(later) == held(follower)


def test_what_precedes_a_whole_snapshot_is_removed_from_the_store(store: Store):
    with feeding(store) as feed:
        for _ in range(5):
            give_snapshot(feed, flow(1, ["a"]))
            change(feed, flow(1, ["b"]))
        wait_until(lambda: feed.acknowledged == 20)
        wait_until(lambda: store.client().xlen(STREAM) == 4)


def test_a_record_has_the_moment_at_which_it_was_written(store: Store):
    with feeding(store) as feed:
        before = time.monotonic()
        give_snapshot(feed, flow(1, ["a"]))
        wait_until(lambda: feed.acknowledged == 3)
        after = time.monotonic()
    time.sleep(1.5)
    with following(store) as follower:
        wait_until(lambda: follower.is_complete)
        moment = follower.held.records[3, 1].moment
        assert before - 0.01 <= moment  # clocks are rounded
        assert moment <= after + 1.0  # the store may answer late


@pytest.mark.row("A-40")
def test_forged_foreign_and_replayed_entries_are_refused_and_counted(store: Store):
    other = Seal(b"the secret of an attacker", "group", "records")
    foreign = Seal(b"a secret of the operator", "branch", "records")
    evil = pack(Part.CHANGES, [flow(1, ["evil"])])
    client = store.client()
    with feeding(store) as feed, following(store) as follower:
        give_snapshot(feed, flow(1, ["good"]))
        wait_until(lambda: follower.is_complete)
        replayed = client.xrange(STREAM)[1][1][b"e"]
        client.xadd(STREAM, {"e": other.write(Entry("one", 1, 4, evil))})
        client.xadd(STREAM, {"e": foreign.write(Entry("one", 1, 4, evil))})
        client.xadd(STREAM, {"e": replayed})
        client.xadd(STREAM, {"x": "nonsense"})
        change(feed, flow(2, ["good"]))
        wait_until(lambda: follower.entries == 4)
        assert held(follower) == {(3, 1): ["good"], (3, 2): ["good"]}
        assert follower.is_complete
        assert follower.refused == {Refusal.FORGED: 2, Refusal.FOREIGN: 1, Refusal.REPLAYED: 1}


@pytest.mark.row("A-40")
def test_with_another_key_each_record_is_counted_once_and_seldom_read_again(store: Store):
    wrong = Seal(b"the key of another group", "group", "records")
    with feeding(store) as feed:
        give_snapshot(feed, *(flow(number, ["good"]) for number in range(9)))
        for number in range(297):
            ticket = change(feed, flow(number, ["good"]))
        wait_until(lambda: feed.acknowledged == ticket)
    client, clock = store.client(), 0.0
    follower = Follower(store.connect, wrong, "group", lambda: clock, lambda: None)
    follower.hurries = True  # no question waits for long
    follower.step()
    before = client.info("stats")["total_net_output_bytes"]
    client.xrange(STREAM)
    once = client.info("stats")["total_net_output_bytes"] - before
    for clock in range(1, 60):  # noqa: B007
        follower.step()
    read = client.info("stats")["total_net_output_bytes"] - before
    assert 3 * once < read < 10 * once
    assert follower.refused == {Refusal.FORGED: 300}


@pytest.mark.row("A-40")
def test_what_a_former_holder_still_writes_is_refused(store: Store):
    with (
        feeding(store, 1, "one") as old,
        feeding(store, 2, "two") as new,
        following(store) as follower,
    ):
        give_snapshot(old, flow(1, ["old"]))
        wait_until(lambda: follower.is_complete)
        give_snapshot(new, flow(1, ["new"]))
        wait_until(lambda: follower.generation == 2)
        change(old, flow(1, ["old"]))
        wait_until(lambda: follower.refused[Refusal.REPLAYED] == 1)
        assert held(follower) == {(3, 1): ["new"]}


@pytest.mark.row("HA-14")
def test_a_follower_outlives_a_store_that_numbers_entries_with_nonsense(store: Store):
    """What the store says is altered on its way, three times, after which the follower has read everything."""
    spoilt: list[bytes] = []

    class Spoiling:
        def __init__(self, client: Client) -> None:
            self._client = client

        def __getattr__(self, name: str) -> object:
            return getattr(self._client, name)

        def xread(self, *given: Any, **more: Any) -> Any:
            found = self._client.xread(*given, **more)
            if found and len(spoilt) < 3:
                spoilt.append(b"nonsense-\xff")
                return [
                    (name, [(spoilt[-1], fields) for _, fields in some]) for name, some in found
                ]
            return found

    with feeding(store) as feed:
        give_snapshot(feed, flow(1, ["a"]))
        follower = Follower(
            lambda patience: Spoiling(store.connect(patience)),
            SEAL, "group", time.monotonic, lambda: None,
        )  # fmt: skip
        follower.start()
        try:
            wait_until(lambda: follower.is_complete)
        finally:
            follower.close()
    assert len(spoilt) == 3
    assert held(follower) == {(3, 1): ["a"]}


def test_a_removed_entry_makes_a_follower_incomplete_until_the_next_snapshot(store: Store):
    with feeding(store) as feed:
        give_snapshot(feed, flow(1, ["a"]))
        change(feed, flow(1, ["b"]))
        change(feed, flow(2, ["c"]))
        wait_until(lambda: feed.acknowledged == 5)
        client = store.client()
        client.xdel(STREAM, client.xrange(STREAM)[3][0])
        with following(store) as follower:
            wait_until(lambda: follower.entries >= 4)
            assert not follower.is_complete
            give_snapshot(feed, flow(1, ["b"]), flow(2, ["c"]))
            wait_until(lambda: follower.is_complete)
            assert held(follower) == {(3, 1): ["b"], (3, 2): ["c"]}


def plain_flow(number: int, packets: int) -> Record:
    """One that has a row."""
    return flow(
        number,
        [
            *(6, 1, 16, number.to_bytes(12), packets, 5, 0, (number + 1000).to_bytes(12), 5, 5, 0),
            *(3.0, 1.0, int(State.ESTABLISHED), True, False, False, 1, "rule", False),
            *(None, 100.0, None, None, None, None, None, None, None),
        ],
    )


@pytest.mark.row("HA-7")
def test_a_follower_that_has_just_begun_says_what_it_has_read_before_it_indexes_it(store: Store):
    """If its caller decides otherwise, it follows on, and the next time there is nothing to wait for."""
    with feeding(store) as feed, following(store) as late:
        give_snapshot(feed, plain_flow(1, 1), plain_flow(2, 2))
        change(feed, plain_flow(2, 3), flow(1, None), plain_flow(4, 4))
        wait_until(lambda: feed.acknowledged == 4)
        wait_until(lambda: late.entries == 4)
        late.finish()
        wait_until(lambda: late.is_finished)
        with begun_to_finish(store) as follower:
            assert packets_of(b"".join(follower.held.newest(10))) == {2: 3, 4: 4}
            assert len(follower.held) >= 2
            time.sleep(0.3)
            assert follower.is_read
            assert not follower.is_finished
            follower.index()
            wait_until(lambda: follower.is_finished)
            assert not follower.is_read
            found, expected = follower.held.rows_as_records(), late.held.rows_as_records()
            assert [each[:3] for each in found] == [each[:3] for each in expected]
        with begun_to_finish(store) as follower:
            follower.go_on()
            change(feed, plain_flow(5, 5))
            wait_until(lambda: follower.entries == 5)
            follower.finish()
            wait_until(lambda: follower.is_finished)
            assert packets_of(b"".join(follower.held.plain.flows.some(10))) == {2: 3, 4: 4, 5: 5}


def test_what_comes_between_the_last_reading_and_the_next_call_is_read_before_that_is_answered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is lost and held again while an answer of the store is on its way."""
    follower = Follower(store.connect, SEAL, "group", time.monotonic, lambda: None)
    read, calls = follower._read, [0]
    with feeding(store) as feed:
        give_snapshot(feed, plain_flow(1, 1))
        wait_until(lambda: feed.acknowledged == 3)

        def read_late(client: Client) -> Any:
            entries = read(client)
            if not entries and not calls[0]:
                calls[0] += 1
                follower.go_on()
                change(feed, flow(1, None), plain_flow(2, 2))
                wait_until(lambda: feed.acknowledged == 4)
                follower.finish()
            return entries

        monkeypatch.setattr(follower, "_read", read_late)
        follower.finish()
        wait_until(lambda: follower.step() or follower.is_read)
        assert calls == [1]
        assert packets_of(b"".join(follower.held.newest(10))) == {2: 2}
        follower.index()
        wait_until(lambda: follower.step() or follower.is_finished)


@contextmanager
def begun_to_finish(store: Store) -> Iterator[Follower]:
    """A follower that is to finish before it has read anything, and that has read everything."""
    follower = Follower(store.connect, SEAL, "group", time.monotonic, lambda: None)
    follower.finish()
    follower.start()
    try:
        wait_until(lambda: follower.is_read)
        yield follower
    finally:
        follower.close()


def packets_of(rows: bytes) -> dict[int, int]:
    """Packets by the number in a flow's key."""
    each = map(unpack_flow, (rows[at : at + FLOW.size] for at in range(0, len(rows), FLOW.size)))
    return {int.from_bytes(row[3], "big"): row[4] for row in each}  # type: ignore[arg-type,misc]


@pytest.mark.row("HA-14")
def test_a_store_that_restarts_empty_gets_a_snapshot(store: Store):
    with feeding(store) as feed, following(store) as follower:
        feed.wants_snapshot = False
        give_snapshot(feed, flow(1, ["a"]))
        wait_until(lambda: follower.is_complete)
        store.stop()
        wait_until(lambda: change(feed, flow(1, ["lost"])) == 0)
        assert "store" in feed.trouble
        store.start()
        resynchronise(feed, follower, flow(1, ["b"]))
        assert not follower.refused


@pytest.mark.row("HA-14")
@pytest.mark.parametrize("others", [False, True])
def test_a_store_that_loses_everything_while_nothing_is_written_gets_a_snapshot(
    store: Store, others: bool
):
    """But not from a member that has lost its lease."""
    feed = Feed(store.connect, SEAL, "group", "one", 1, lambda: None)
    feed.wants_snapshot = False
    give_snapshot(feed, flow(1, "one"))
    for _ in range(3):
        feed.step()
        assert not feed.wants_snapshot
    store.client().flushall()
    if others:
        store.client().set(key("group", "generation"), 2)
    feed.step()
    assert not feed.trouble
    assert feed.wants_snapshot is not others


@pytest.mark.row("HA-14")
def test_a_full_store_drops_batches_and_gets_a_snapshot_once_it_has_room(store: Store):
    client = store.client()
    with feeding(store) as feed, following(store) as follower:
        feed.wants_snapshot = False
        give_snapshot(feed, flow(1, ["a"]))
        wait_until(lambda: follower.is_complete)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")

        def is_refused() -> bool:
            change(feed, flow(1, ["lost" * 100]))
            return "memory" in feed.trouble

        wait_until(is_refused)
        client.config_set("maxmemory", "0")
        resynchronise(feed, follower, flow(1, ["b"]))


@pytest.mark.row("HA-14")
def test_batches_for_a_store_that_hangs_take_bounded_memory(store: Store):
    with feeding(store) as feed:
        give_snapshot(feed, flow(1, ["a"]))
        wait_until(lambda: feed.acknowledged == 3)
        store.hang()
        payload = bytes(1 << 20)
        tickets = [feed.append(Part.CHANGES, payload) for _ in range(2 * MOST_WAITING >> 20)]
        assert tickets[-1] == 0
        assert feed.waiting <= MOST_WAITING
        store.go_on()


@pytest.mark.row("A-40")
def test_an_entry_of_the_last_number_that_there_is_does_not_blind_a_follower(store: Store):
    """No entry can follow it, so the stream begins anew, with numbers below it."""
    with feeding(store) as feed, following(store) as follower:
        feed.wants_snapshot = False
        give_snapshot(feed, flow(1, ["old"]))
        wait_until(lambda: follower.is_complete)
        last = (1 << 64) - 1
        store.client().xadd(STREAM, {"e": "nonsense"}, id=f"{last}-{last}")
        wait_until(lambda: follower.refused[Refusal.FORGED] == 1)
        change(feed, flow(1, ["lost"]))
        resynchronise(feed, follower, flow(1, ["new"]))


def test_everything_is_wanted_again_if_the_store_is_lost_while_nothing_is_written(store: Store):
    with feeding(store) as feed:
        give_snapshot(feed, flow(1, "a"))
        wait_until(lambda: feed.acknowledged == 3)
        feed.wants_snapshot = False
        store.stop()
        store.start()
        wait_until(lambda: feed.wants_snapshot)
