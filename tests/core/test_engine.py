"""Whatever happens in whatever order: nothing raises, nothing leaks, everything adds up (see `stress`)."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.core.stress import Stress


class Anything(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stress = Stress()

    @invariant()
    def everything_adds_up(self) -> None:
        self.stress.check()

    @rule(data=st.data(), event=st.sampled_from(Stress.EVENTS))
    def something_happens(self, data: st.DataObject, event) -> None:
        event(self.stress, lambda n: data.draw(st.integers(0, n - 1)))


@pytest.mark.row("A-37", "A-38", "A-39")
class TestAnything(Anything.TestCase):
    settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@pytest.mark.row("A-37", "A-39")
@pytest.mark.parametrize("seed", range(8))
def test_a_long_life_full_of_accidents_breaks_no_law(seed: int):
    stress, chance = Stress(), Random(seed)
    for step in range(2500):
        kind = chance.randrange(120)  # operators act seldom, or nothing would live long
        event = Stress.EVENTS[kind] if kind < len(Stress.EVENTS) else Stress.EVENTS[kind % 8]
        event(stress, chance.randrange)
        if step % 10 == 0:
            stress.check()
    assert stress.received > 2000
