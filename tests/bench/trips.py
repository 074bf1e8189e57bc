"""Round trips of datagrams, one at a time, from inside to outside."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from statistics import quantiles

from tests.bench.topology import OUTSIDE, Network, on_one_processor

COUNT = "3000"


def round_trips(wires: Network, port: str = "7") -> list[float]:
    """How many seconds each took, to this port of `tests.bench.echo` and back."""
    python = on_one_processor(sys.executable, "-m")
    with wires.running("out", *python, "tests.bench.echo", "udp", OUTSIDE, port, ready="ready"):
        said = wires.run("in", *python, "tests.bench.ask", "udp", OUTSIDE, port, COUNT)
    taken: list[list[float]] = json.loads(said)
    return taken[0]


def percentile(which: int, trips: Sequence[float]) -> float:
    """In microseconds."""
    return quantiles(trips, n=100)[which - 1] * 1e6
