"""The numbers of flows: whoever walks through them misses none, and few walks need a copy of all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.numbers import FEW, Numbers


class Flows:
    def __init__(self) -> None:
        self.alive: set[int] = set()
        self.newest = 0
        self.copies = 0
        self.numbers = Numbers()

    def open(self, count: int) -> None:
        self.alive.update(range(self.newest + 1, self.newest + 1 + count))
        self.newest += count

    def copy(self) -> list[int]:
        self.copies += 1
        return sorted(self.alive)

    def walk(self) -> list[int]:
        return list(self.numbers.walk(self.copy, len(self.alive), self.newest))


def test_one_copy_serves_all_walks_until_as_many_flows_have_come() -> None:
    flows = Flows()
    flows.open(5000)
    for _ in range(100):
        flows.open(50)
        assert flows.walk() == sorted(flows.alive)
    assert flows.copies == 1
    flows.alive.clear()
    flows.open(FEW)
    assert flows.walk() == sorted(flows.alive)
    assert flows.copies == 2


def test_numbers_that_no_flow_has_are_not_walked_through() -> None:
    """As after another member of a group was lost, whose flows have come with numbers of their own."""
    flows = Flows()
    flows.open(10)
    flows.walk()
    flows.newest += 10_000_000
    flows.open(10)
    assert flows.walk() == sorted(flows.alive)


@given(st.lists(st.tuples(st.integers(0, 2 * FEW), st.integers(0, 2 * FEW)), max_size=8))
def test_a_walk_has_every_flow_once_in_order(steps: list[tuple[int, int]]) -> None:
    flows = Flows()
    for come, gone in steps:
        flows.open(come)
        flows.alive -= set(sorted(flows.alive)[:gone])
        found = flows.walk()
        assert found == sorted(set(found))
        assert flows.alive <= set(found)
