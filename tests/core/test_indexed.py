"""The index of rows follows them, and finds what contradicts at last, not on the way."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from ipmasq.core.changes import Kind
from ipmasq.core.compact import BACK, FLOW, MAPPING, OUT, Compact
from ipmasq.core.engine import Engine
from ipmasq.core.indexed import Indexed, public_of
from ipmasq.core.indexed_mappings import Pool
from ipmasq.core.plain import StateError
from ipmasq.core.restoring import compacted
from ipmasq.core.rows import Rows
from tests.core.restored import kept, plain
from tests.core.test_unrestored import POLICY, START, talked


def rows(count: int = 3) -> tuple[Compact, dict[int, Pool]]:
    engine = talked(flows=count)
    pools = {
        pool.number: Pool(pool.protocol, pool.address, False)
        for pool in engine.table.mappings.numbered
    }
    return compacted(kept(engine, START))[1], pools


def flows(rows: dict[int, bytes]) -> Rows:
    return Rows.of(rows, FLOW.size)


def mappings(rows: dict[int, bytes]) -> Rows:
    return Rows.of(rows, MAPPING.size)


def contents(made: Indexed) -> dict[str, Any]:
    """What an index has, in whatever order it has come."""
    mappings = made.mappings
    return (
        vars(made)
        | vars(mappings)
        | {
            "flows": {number: rest for number, *rest in made.flows.each()},
            "mappings": dict(mappings.numbered()),
            "_unused": made.unused(),
            "taken": {number: ports for number, ports in mappings.taken.items() if ports},
            "_numbers": {key: set(numbers) for key, numbers in mappings._numbers.items()},
            "by_public": {
                public: {flows} if isinstance(flows, int) else set(flows.values())
                for public, flows in made.by_public.items()
            },
        }
    )


def empty(pools: dict[int, Pool]) -> Indexed:
    return Indexed.of(Compact(), pools)


@pytest.mark.parametrize("seed", range(10))
def test_rows_that_come_in_any_order_make_the_same_index(seed: int) -> None:
    compact, pools = rows(8)
    chance, made = Random(seed), empty(pools)
    steps = [
        *(
            (made.add_mappings, (mappings({number: row}),))
            for number, row in compact.mappings.items()
        ),
        *(
            (made.add_flows, (flows({number: row}), [START]))
            for number, row in compact.flows.items()
        ),
    ]
    chance.shuffle(steps)
    for step, given in steps:
        step(*given)  # type: ignore[operator]
    assert made.confirm(pools) is made
    assert contents(made) == contents(Indexed.of(compact, pools))


def test_what_has_gone_leaves_nothing() -> None:
    compact, pools = rows()
    made = Indexed.of(compact, pools)
    made.drop(Kind.MAPPING, [*compact.mappings, 99])
    made.drop(Kind.FLOW, [*compact.flows, 99])
    assert contents(made) == contents(empty(pools))


def test_two_flows_with_the_same_keys_contradict_only_while_both_are_there() -> None:
    compact, pools = rows()
    for first, second in ((1, 9), (9, 1)):
        made = Indexed.of(compact, pools)
        made.add_flows(flows({9: compact.flows[1]}), [START])
        with pytest.raises(StateError, match="the same addresses and ports"):
            made.confirm(pools)
        made.drop_flow(first)
        sound = made.confirm(pools)
        assert second in sound.flows
        assert set(sound.by_key.values()) == {2, 3, second}


def test_two_flows_of_a_mapping_with_the_same_server_contradict_while_both_are_there() -> None:
    compact, pools = rows()
    first = compact.flows[1]
    same = first[:2] + bytes(4) + first[6:]  # its client knows the server by another address
    for gone, stays in ((1, 9), (9, 1)):
        made = Indexed.of(compact, pools)
        made.add_flows(flows({9: same}), [START])
        with pytest.raises(StateError, match="the same addresses and ports"):
            made.confirm(pools)
        made.drop_flow(gone)
        sound = made.confirm(pools)
        assert sound.find(first[OUT]) == stays
        made.drop_flow(stays)
        assert made.find(first[OUT]) is None


def test_each_flow_of_a_mapping_is_found_by_both_of_its_keys() -> None:
    compact, pools = rows()
    first = compact.flows[1]
    others = {
        number: first[:5] + bytes((number,)) + first[6:23] + bytes((number,)) + first[24:]
        for number in range(10, 13)
    }
    made = Indexed.of(compact, pools)
    made.add_flows(flows(others), [START] * len(others))
    assert made.confirm(pools) is made
    for number, row in (compact.flows | others).items():
        assert (made.find(row[BACK]), made.find(row[OUT])) == (number, number)
    assert made.find(first[:2] + bytes(12)) is None
    assert made.find(first[14:20] + bytes(4) + first[24:28]) is None


def test_mappings_without_a_flow_are_unused() -> None:
    compact, pools = rows()
    made = Indexed.of(compact, pools)
    assert made.unused_numbers() == []
    number = next(iter(compact.flows))
    public = public_of(compact.flows[number])
    made.drop_flow(number)
    assert made.unused() == {public}
    assert made.unused_numbers() == [made.mappings.number_at(public)]


def test_a_flow_whose_mapping_comes_later_contradicts_only_until_then() -> None:
    compact, pools = rows()
    made = empty(pools)
    made.add_flows(flows(compact.flows), list(compact.moments.values()))
    with pytest.raises(StateError, match="of which there is no record"):
        made.confirm(pools)
    made.add_mappings(mappings(compact.mappings))
    assert made.confirm(pools) is made


def test_a_mapping_whose_pool_comes_later_is_found() -> None:
    compact, pools = rows()
    made = empty({})
    made.add_mappings(mappings(compact.mappings))
    for number, pool in pools.items():
        made.mappings.add_pool(number, [pool.protocol, pool.address, [], pool.is_shared])
    made.add_flows(flows(compact.flows), list(compact.moments.values()))
    with pytest.raises(StateError, match="is of no pool"):
        Indexed.of(compact, {}).confirm({})
    assert contents(made.confirm(pools)) == contents(Indexed.of(compact, pools))


@pytest.mark.parametrize(
    "row",
    [None, "pool", [], [6, "text", [], False], [256, bytes(4), [], True], [6, bytes(5), [], False]],
)
def test_what_is_no_pool_is_left_to_whoever_reads_the_record(row: object) -> None:
    made = empty({})
    made.mappings.add_pool(0, row)
    assert made.mappings.pools == {}


def test_pools_of_the_engine_that_are_others_are_indexed_anew() -> None:
    compact, pools = rows()
    other = {number: pool._replace(address=b"\xcb\x00\x71\x63") for number, pool in pools.items()}
    made = Indexed.of(compact, other)
    assert contents(made.confirm(pools)) == contents(Indexed.of(compact, pools))


def test_rows_as_records_make_the_same_engine() -> None:
    engine = talked()
    others, compact = compacted(kept(engine, START))
    records = Indexed.of(compact, {0: Pool(17, b"\xcb\x00\x71\x01", False)}).records()
    again = [*others, *(others[0]._replace(kind=r[0], key=r[1], row=r[2]) for r, _ in records)]
    made = Engine.from_records(POLICY, Random(2).randrange, again, START)
    assert plain(made, START) == plain(engine, START)
