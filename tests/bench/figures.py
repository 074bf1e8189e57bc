"""A figure, and the list of benches that make figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Figure:
    """What several runs measured. `ratio_to`: the name of the figure that it is to be compared with."""

    name: str
    unit: str
    samples: Sequence[float]
    ratio_to: str | None = None

    @property
    def median(self) -> float:
        return median(self.samples)


Bench: TypeAlias = Callable[[int], Iterable[Figure]]
"""Takes how many runs to make. Figures come as they are ready; what one is compared with may come later."""

BENCHES: dict[str, Bench] = {}
"""By name; in the order in which they run."""


def bench(name: str) -> Callable[[Bench], Bench]:
    def enter(function: Bench) -> Bench:
        BENCHES[name] = function
        return function

    return enter


def chosen(only: Sequence[str]) -> Mapping[str, Bench]:
    """All, or those that are named, or that stand below a name (`engine`: `engine.speed`, ...)."""
    return {
        name: each
        for name, each in BENCHES.items()
        if not only or any(f"{name}.".startswith(f"{word}.") for word in only)
    }
