"""The same measured through several ways of forwarding: same wires, in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from tests.bench.figures import Figure
from tests.bench.topology import Network, network
from tests.bench.ways import MASQUERADE, WAYS

Measure: TypeAlias = Callable[[Network], Iterable[tuple[str, str, float]]]
"""Finds names, units and values."""

Samples: TypeAlias = dict[tuple[str, str], dict[str, list[float]]]
"""By name and unit, then by way."""


def in_turn(runs: int, ways: Sequence[str], measure: Measure) -> Samples:
    samples: Samples = {}
    with network() as wires:
        for _ in range(runs):
            for way in ways:
                with WAYS[way](wires):
                    for name, unit, value in measure(wires):
                        samples.setdefault((name, unit), {}).setdefault(way, []).append(value)
    return samples


def beside_masquerade(
    runs: int, ways: Sequence[str], measure: Measure, start: str = ""
) -> Iterator[Figure]:
    """Figures named `start` + way + name."""
    for (name, unit), by_way in in_turn(runs, ways, measure).items():
        other = f"{start}{MASQUERADE}.{name}"
        for way, found in by_way.items():
            yield Figure(f"{start}{way}.{name}", unit, found, other)
