"""Bulk TCP with segmentation offload, through everything that forwards."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.figures import Figure, bench
from tests.bench.in_turn import beside_masquerade
from tests.bench.iperf import gigabits
from tests.bench.topology import Network
from tests.bench.ways import WAYS


@bench("bulk")
def bulk(runs: int) -> Iterator[Figure]:
    yield from beside_masquerade(runs, tuple(WAYS), _measure, "bulk.")


def _measure(wires: Network) -> Iterator[tuple[str, str, float]]:
    yield "tcp1.gbps", "Gbit/s", gigabits(wires, streams=1)
    yield "tcp8.gbps", "Gbit/s, 8 streams", gigabits(wires, streams=8)
