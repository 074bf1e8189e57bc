"""What the metrics cost packets: a line of a control connection and its answer, with a scraper and without."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from statistics import median, quantiles

from tests.bench.figures import Figure, bench
from tests.bench.topology import OUTSIDE, network
from tests.bench.ways import ipmasq

LINES = "12000"
"""So many that the 99th percentile is not that of a few moments in which a processor was busy with something else."""
PORT = "21"
ADDRESS, METRICS = "127.0.0.1", "9477"
PAUSE = "0.1"
"""Seconds between two scrapes, a hundred times as often as usual."""

WITH_METRICS = f'[metrics]\nlisten = "{ADDRESS}:{METRICS}"\n'


@bench("metrics.scraped")
def scraped(runs: int) -> Iterator[Figure]:
    """The same gateway with metrics, in turn with a scraper and without; and a gateway without metrics."""
    server = (sys.executable, "-m", "tests.bench.echo", "ftp", OUTSIDE, PORT)
    client = (sys.executable, "-m", "tests.bench.ask", "ftp", OUTSIDE, PORT, LINES)
    scraper = (sys.executable, "-m", "tests.bench.scrape", ADDRESS, METRICS, PAUSE)
    off, idle, busy = [], [], []
    with network() as wires, wires.running("out", *server, ready="ready"):
        for _ in range(runs):
            with ipmasq(wires):
                off.append(_lines(wires.run("in", *client)))
            with ipmasq(wires, more=WITH_METRICS):
                idle.append(_lines(wires.run("in", *client)))
                with wires.running("gw", *scraper, ready="ready"):
                    busy.append(_lines(wires.run("in", *client)))
    unit = "ms/line and answer"
    none = Figure("metrics.off.line_ms", unit, [median(each) for each in off])
    yield none
    yield Figure("metrics.on.line_ms", unit, [median(each) for each in idle], none.name)
    yield Figure("metrics.scraped.line_ms", unit, [median(each) for each in busy], none.name)
    unit += " at p99"
    none = Figure("metrics.off.line_p99_ms", unit, [_p99(each) for each in off])
    yield none
    yield Figure("metrics.on.line_p99_ms", unit, [_p99(each) for each in idle], none.name)
    yield Figure("metrics.scraped.line_p99_ms", unit, [_p99(each) for each in busy], none.name)


def _lines(printed: str) -> list[float]:
    """Return milliseconds."""
    (taken,) = json.loads(printed)
    return [1000 * seconds for seconds in taken]


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]
