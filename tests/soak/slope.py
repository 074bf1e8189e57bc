"""Whether a quantity grows: a straight line through samples, with its confidence.

Samples of memory that follow each other are alike, so a line through all of them would seem surer than it
is. They are averaged in blocks that are long against that likeness, and the line goes through the averages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

BLOCKS = 10

# Student's t, two-sided 95 %, by degrees of freedom from 1 on (any table of it).
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Slope:
    """Per unit of time, and half the width of its 95 % confidence interval."""

    value: float
    margin: float

    @property
    def low(self) -> float:
        return self.value - self.margin

    @property
    def high(self) -> float:
        return self.value + self.margin


def slope(samples: Sequence[tuple[float, float]], blocks: int = BLOCKS) -> Slope:
    """Of `(time, quantity)` in order. Says nothing (an infinite margin) of fewer than three blocks."""
    means = block_means(samples, blocks)
    if len(means) < 3:
        return Slope(0.0, inf)
    centre = sum(x for x, _ in means) / len(means), sum(y for _, y in means) / len(means)
    spread = sum((x - centre[0]) ** 2 for x, _ in means)
    value = sum((x - centre[0]) * (y - centre[1]) for x, y in means) / spread
    rest = sum((y - centre[1] - value * (x - centre[0])) ** 2 for x, y in means)
    freedom = len(means) - 2
    t = _T[freedom - 1] if freedom <= len(_T) else 2.0
    return Slope(value, t * sqrt(rest / freedom / spread))


def block_means(samples: Sequence[tuple[float, float]], blocks: int) -> list[tuple[float, float]]:
    """Of as many consecutive samples each; what is over at the beginning is left out."""
    size = len(samples) // blocks
    if size == 0:
        return []
    kept = samples[len(samples) - size * blocks :]
    parts = [kept[at : at + size] for at in range(0, len(kept), size)]
    return [(sum(x for x, _ in part) / size, sum(y for _, y in part) / size) for part in parts]
