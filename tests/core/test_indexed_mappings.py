"""Mappings are found by their public endpoints; those that cannot be indexed wait until there is a new index."""

from __future__ import annotations

import pytest

from ipmasq.core.compact import IS_CURRENT, MAPPING
from ipmasq.core.indexed_mappings import IndexedMappings, Pool
from ipmasq.core.rows import Rows

ADDRESS, INSIDE = bytes((203, 0, 113, 1)), bytes((10, 0, 0, 5))


def of(port: int, bits: int = IS_CURRENT) -> bytes:
    key = bytes((17,)) + port.to_bytes(2, "big") + INSIDE
    return MAPPING.pack(len(key), bits, key)


def public(port: int) -> bytes:
    return bytes((17,)) + port.to_bytes(2, "big") + ADDRESS


def two_pools() -> IndexedMappings:
    made = IndexedMappings()
    for number in range(2):
        made.add_pool(number, [17, ADDRESS, [], False])
    return made


def add(made: IndexedMappings, rows: dict[int, bytes]) -> None:
    made.add(Rows.of(rows, MAPPING.size))


def test_what_came_and_went_is_counted_out() -> None:
    made = two_pools()
    rows = {5: of(1005), 1 << 16 | 6: of(1006), 7: of(1007, 0)}
    for _ in range(2):
        add(made, rows)
    assert {number: made.public(number) for number in rows} == {
        5: public(5), 1 << 16 | 6: public(6), 7: public(7)
    }  # fmt: skip
    assert dict(made.numbered()) == rows
    assert made.currents == {of(1005)[2:9]: 5, of(1006)[2:9]: 1 << 16 | 6}
    assert made.ports == {(17, INSIDE): 3}
    for gone in (5, 5, 99, 1 << 16 | 6, 9 << 16):
        made.drop(gone)
    assert made.take(public(7)) == (7, of(1007, 0))
    assert made.take(public(7)) is None
    assert (len(made), made.currents, made.sum, made.objection()) == (0, {}, 0, "")


def test_a_newer_row_takes_the_place_of_the_one_before() -> None:
    made = two_pools()
    add(made, {5: of(1005)})
    add(made, {5: of(1005, 0)})
    assert (dict(made.numbered()), made.currents, made.ports.total()) == ({5: of(1005, 0)}, {}, 1)


def test_a_second_mapping_of_a_port_contradicts_while_it_is_there() -> None:
    made = two_pools()
    add(made, {5: of(1005)})
    add(made, {1 << 16 | 5: of(2000)})
    assert len(made) == 2
    assert "the same public port" in made.objection()
    assert made.number_at(public(5)) == 5
    made.drop(1 << 16 | 5)
    assert (made.objection(), dict(made.numbered())) == ("", {5: of(1005)})


@pytest.mark.parametrize("pools", [{}, {0: Pool(6, ADDRESS, False)}])
def test_a_mapping_that_is_of_no_pool_is_told(pools: dict[int, Pool]) -> None:
    made = IndexedMappings()
    for number, pool in pools.items():
        made.note_pool(number, pool)
    add(made, {5: of(1005)})
    assert "pool" in made.objection()
    assert dict(made.numbered()) == {5: of(1005)}
