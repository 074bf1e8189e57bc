"""The line through samples of memory, and how sure it is."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from tests.soak.slope import Slope, block_means, slope


def test_a_straight_line_is_found_without_doubt() -> None:
    found = slope([(x / 10, 5 + 3 * x / 10) for x in range(200)])
    assert found.value == pytest.approx(3)
    assert found.margin == pytest.approx(0, abs=1e-9)


def test_what_is_left_over_by_blocks_is_the_beginning() -> None:
    assert block_means([(9, 9), (1, 2), (3, 4), (5, 6), (7, 8)], 2) == [(2, 3), (6, 7)]


def test_too_few_samples_say_nothing() -> None:
    assert slope([(0, 1), (1, 2), (2, 3)], 10) == Slope(0.0, inf)


def test_the_interval_holds_the_true_slope_about_as_often_as_it_says() -> None:
    """Samples that cling to their predecessors, as memory does."""
    chance, hits, tries = Random(7), 0, 300
    for _ in range(tries):
        wander, samples = 0.0, []
        for x in range(400):
            wander = 0.8 * wander + chance.gauss(0, 1)
            samples.append((x, 0.01 * x + wander))
        found = slope(samples)
        hits += found.low <= 0.01 <= found.high
    assert hits > 0.88 * tries
