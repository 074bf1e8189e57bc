"""Bytes as choices: in range, in order, and zero when they have run out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fuzz.choices import Choices


@given(data=st.binary(max_size=40), ranges=st.lists(st.integers(1, 1 << 40), max_size=20))
def test_every_choice_is_in_its_range(data: bytes, ranges: list[int]):
    choices = Choices(data)
    assert all(0 <= choices(n) < n for n in ranges)
    while choices.left > 0:
        choices(2)
    assert [choices(n) for n in ranges] == [0] * len(ranges)


def test_large_ranges_take_as_many_bytes_as_they_need():
    choices = Choices(bytes((1, 2, 3, 4, 5, 6, 7)))
    assert choices(256) == 1
    assert choices(1 << 16) == 0x0203
    assert choices(1 << 32) == 0x04050607
    assert choices.left == 0


def test_it_stands_in_for_a_random_source():
    choices = Choices(bytes((0, 255, 128, 3, 1, 0)))
    assert choices.random() == 0.0
    assert choices.random() < 1.0
    assert choices.randint(5, 8) == 5
    assert sorted(choices.sample("abc", 2)) == ["a", "c"]
