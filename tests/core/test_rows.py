"""Columns of many rows are the same as what each row has, one after the other."""

from __future__ import annotations

from random import Random

import pytest

from ipmasq.core.rows import AT_ONCE, Rows, having, woven

COUNTS = [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE, 3 * AT_ONCE + 7]


def some(count: int, size: int = 9) -> tuple[Rows, list[bytes]]:
    rows = [Random(count).randbytes(size) for _ in range(count)]
    numbers = [3 * each for each in range(count)]
    return Rows.of(dict(zip(numbers, rows, strict=True)), size), rows


@pytest.mark.parametrize("count", COUNTS)
def test_what_is_taken_of_all_rows_is_what_each_has(count: int) -> None:
    rows, each = some(count)
    assert list(rows.each()) == each
    assert list(rows.slices(2, 4)) == [row[2:6] for row in each]
    assert list(rows.slices(0, 9)) == list(rows.slices(0, 4 + 5))
    assert list(rows.column(8)) == [row[8] for row in each]
    assert list(rows.gathered((7, 0, 3))) == [bytes((row[7], row[0], row[3])) for row in each]


@pytest.mark.parametrize("count", COUNTS)
def test_chosen_rows_keep_their_numbers_and_their_order(count: int) -> None:
    rows, each = some(count)
    chosen = [number % 2 for number in range(count)]
    few = rows.only(chosen)
    assert list(few.each()) == each[1::2]
    assert list(few.numbers) == list(rows.numbers[1::2])
    assert rows.only([True] * count) is rows


def test_rows_are_grouped_by_what_they_are() -> None:
    rows, each = some(5)
    groups = dict(rows.grouped([7, 8, 7, 9, 8]))
    assert {kind: (group.numbers, group.each()) for kind, group in groups.items()} == {
        7: ((0, 6), (each[0], each[2])),
        8: ((3, 12), (each[1], each[4])),
        9: ((9,), (each[3],)),
    }
    assert list(rows.grouped([7] * 5)) == [(7, rows)]
    assert list(some(0)[0].grouped([])) == []


def test_columns_are_woven_to_rows() -> None:
    assert woven([b"abc", b"xyz"]) == (b"ax", b"by", b"cz")
    assert woven([b"", b""]) == ()


@pytest.mark.parametrize(
    ("numbers", "size", "sound"),
    [((1, 2), 20, True), ((), 0, True), ((1, 2), 19, False), ((1, 2, 3), 20, False)],
)
def test_rows_are_sound_only_with_as_many_numbers(
    numbers: tuple[int, ...], size: int, sound: bool
) -> None:
    assert Rows(numbers, bytes(size), 10).is_sound == sound


def test_rows_are_not_sound_if_two_have_the_same_number() -> None:
    assert not Rows((1, 1), bytes(20), 10).is_sound


def test_joined_rows_are_one_after_the_other() -> None:
    (one, each), (other, more) = some(3), some(5)
    joined = Rows.joined([one, other])
    assert (list(joined.numbers), list(joined.each())) == (
        [*one.numbers, *other.numbers],
        each + more,
    )
    assert Rows.joined([one]) is one
    assert (one.is_ascending, joined.is_ascending, joined.are_unique) == (True, False, False)


def test_bytes_that_have_a_bit_are_known() -> None:
    assert bytes(range(8)).translate(having(2)) == bytes((0, 0, 1, 1, 0, 0, 1, 1))
