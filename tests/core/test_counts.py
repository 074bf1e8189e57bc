"""Numbers by key, and which of them are near the limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.counts import Counts, near_from


def test_those_near_the_limit_come_with_most_first() -> None:
    counts = Counts[str](100)
    for key, number in (("far", 79), ("near", 80), ("full", 100), ("nearer", 90)):
        counts.change(key, number)
    assert list(counts.near()) == [("full", 100), ("nearer", 90), ("near", 80)]
    counts.change("full", -100)
    counts.change("near", -1)
    assert list(counts.near()) == [("nearer", 90)]
    assert "full" not in counts


def test_another_limit_has_others_near_it() -> None:
    counts = Counts[str](100)
    counts.change("few", 10)
    counts.change("many", 90)
    counts.limit(10)
    assert list(counts.near()) == [("many", 90), ("few", 10)]
    counts.limit(1000)
    assert list(counts.near()) == []


class Examined(Counts[int]):
    """Counts how often anything walks through all keys."""

    walks = 0

    def items(self):  # type: ignore[no-untyped-def]
        self.walks += 1
        return super().items()


def test_to_ask_for_those_near_the_limit_walks_through_no_others() -> None:
    counts = Examined(100)
    for key in range(1000):
        counts.change(key, 80 if key == 7 else 1)
    counts.limit(100)
    assert list(counts.near()) == [(7, 80)]
    assert counts.walks == 0


@given(
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(0, 9), st.integers(-40, 40)), max_size=100),
    st.integers(1, 60),
)
def test_those_near_the_limit_are_what_all_numbers_say(
    most: int, changes: list[tuple[int, int]], later: int
) -> None:
    counts = Counts[int](most)
    for key, more in changes:
        more = max(more, -counts.get(key, 0))
        if more or key in counts:
            counts.change(key, more)
        counts.check()
        near = {key: number for key, number in counts.items() if number >= near_from(most)}
        assert dict(counts.near()) == near
    counts.limit(later)
    counts.check()


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 60)), st.lists(st.integers(0, 9)))
def test_many_keys_at_once_are_the_same_as_one_after_the_other(
    more: dict[int, int], before: list[int]
) -> None:
    one, other = Counts[int](40), Counts[int](40)
    for each in (one, other):
        for key in before:
            each.change(key, 1)
    one.change_all(more)
    for key, number in more.items():
        if number:
            other.change(key, number)
    one.check()
    assert one == other
    assert sorted(one.near()) == sorted(other.near())
