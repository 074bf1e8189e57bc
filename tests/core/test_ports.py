"""The free ports of one protocol at one address."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.policy import PortRange, PortSet
from ipmasq.core.ports import PortPool
from ipmasq.wire.addresses import to_address


def pool_of(low: int, high: int) -> PortPool[str]:
    return PortPool(17, to_address("203.0.113.1"), PortRange(low, high))


def test_every_port_is_given_once_and_then_none():
    pool = pool_of(61000, 61099)
    taken = [pool.take(Random(1).randrange, ()) for _ in range(100)]
    assert sorted(taken) == list(range(61000, 61100))
    assert pool.take(Random(1).randrange, ()) is None
    assert len(pool) == 0


def test_a_port_that_was_given_back_is_given_again():
    pool = pool_of(5, 5)
    assert pool.take(Random(1).randrange, ()) == 5
    pool.release(5)
    assert pool.take(Random(1).randrange, ()) == 5


def test_ports_that_are_taken_already_are_counted_once_if_all_are_claimed_again():
    """As when the mappings of another engine join."""
    pool = pool_of(1, 10)
    pool.claim_all({1, 2, 3})
    assert (pool.used, len(pool)) == (3, 7)
    assert pool.claim(4)
    pool.claim_all({1, 2, 3, 4, 5, 6})
    assert (pool.used, len(pool)) == (6, 4)
    pool.claim_all({6, 7})
    pool.claim_all(set())
    assert (pool.used, len(pool)) == (7, 3)
    assert pool.has_none_free(set(range(1, 8)))
    assert sorted(pool.take(Random(2).randrange, ()) or 0 for _ in range(3)) == [8, 9, 10]


def test_barred_ports_are_passed_over_and_stay_free():
    pool = pool_of(1, 10)
    barred = set(range(1, 10))
    assert pool.take(Random(3).randrange, barred) == 10
    assert pool.take(Random(3).randrange, barred) is None
    assert len(pool) == 9
    assert pool.take(Random(3).randrange, ()) in barred


def test_ports_of_several_ranges_are_equally_likely():
    pool = PortPool(17, to_address("203.0.113.1"), PortSet((PortRange(10, 29), PortRange(90, 109))))
    chance, seen = Random(5).randrange, [0] * 120
    for _ in range(4000):
        port = pool.take(chance, ())
        assert port is not None
        seen[port] += 1
        pool.hold(port, "somebody")
        assert pool.at(port) == "somebody"
        pool.release(port)
    assert {port for port, count in enumerate(seen) if count} == {*range(10, 30), *range(90, 110)}
    # Chi-squared with 39 degrees of freedom: more than 72.1 once in a thousand.
    assert sum((count - 100) ** 2 / 100 for count in seen if count) < 72.1
    assert [pool.at(port) for port in (9, 30, 60, 89, 110)] == [None] * 5


def test_a_pool_knows_who_holds_what_and_nothing_of_other_ports():
    pool = pool_of(10, 12)
    port = pool.take(Random(1).randrange, {10, 12})
    assert port == 11
    assert pool.at(11) is None
    pool.hold(11, "somebody")
    assert [pool.at(port) for port in range(9, 14)] == [None, None, "somebody", None, None]
    assert list(pool) == ["somebody"]
    pool.release(11)
    assert list(pool) == []


@given(st.integers(0, 2**32), st.lists(st.booleans(), max_size=200), st.sets(st.integers(1, 20)))
def test_a_pool_holds_exactly_what_is_not_taken(seed: int, steps: list[bool], barred: set[int]):
    pool, chance, taken = pool_of(1, 20), Random(seed), []
    for take in steps:
        if take:
            port = pool.take(chance.randrange, barred)
            assert (port is None) == (not set(range(1, 21)) - set(taken) - barred)
            if port is not None:
                assert port not in taken
                assert port not in barred
                taken.append(port)
        elif taken:
            pool.release(taken.pop(chance.randrange(len(taken))))
        assert len(pool) == 20 - len(taken)


def test_a_block_takes_no_barred_port_and_no_more_than_there_are():
    pool = pool_of(1, 10)
    block = pool.lend(20, Random(3).randrange, {1, 2})
    assert block.ports == {*range(3, 11)}
    assert len(pool) == 2
    assert not pool.claim(3)
    assert not block.claim(1)


def test_a_claimed_port_leaves_the_block_and_returns_to_the_pool_alone():
    pool = pool_of(1, 10)
    block = pool.lend(3, Random(3).randrange, ())
    port = min(block.ports)
    assert block.claim(port)
    assert not block.claim(port)
    pool.hold(port, "somebody")
    block.end()
    assert len(pool) == 9
    pool.release(port)
    assert len(pool) == 10
    block.end()
    assert len(pool) == 10


@given(st.sets(st.integers(1, 20)), st.integers(0, 2**32), st.lists(st.integers(0, 2), max_size=40))
def test_ports_that_are_claimed_at_once_are_taken_like_any_others(
    claimed: set[int], seed: int, steps: list[int]
):
    pool, chance, taken = pool_of(1, 20), Random(seed), set(claimed)
    pool.claim_all(set(claimed))
    for step in steps:
        port = chance.randint(1, 20)
        if step == 0:
            assert pool.claim(port) is (port not in taken)
            taken.add(port)
        elif step == 1 and port in taken:
            pool.release(port)
            taken.remove(port)
        elif step == 2 and (given := pool.take(chance.randrange, ())) is not None:
            assert given not in taken
            taken.add(given)
        assert len(pool) == 20 - len(taken)
        assert pool.used == len(taken)
        assert pool.has_none_free(taken)
        assert pool.has_free(taken) is (len(taken) < 20)
    free = {pool.take(chance.randrange, ()) for _ in range(len(pool))}
    assert free == set(range(1, 21)) - taken


def test_ports_are_claimed_once_more():
    pool = pool_of(1, 20)
    pool.claim_all({1, 2})
    more = {3, 4}
    pool.claim_all(more)
    more.clear()
    assert len(pool) == 16
    assert pool.has_none_free({1, 2, 3, 4})
    assert not pool.has_none_free({4, 5})


def test_a_pool_without_holders_knows_of_none():
    pool = pool_of(10, 12)
    assert list(pool) == []
    assert pool.at(11) is None
    block = pool.lend(2, Random(1).randrange, ())
    block.end()
    assert len(pool) == 3
