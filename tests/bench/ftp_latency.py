"""What the FTP helper adds to the time that a line and its answer take."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from statistics import median, quantiles

from tests.bench.figures import Figure, bench
from tests.bench.topology import OUTSIDE, network
from tests.bench.ways import ipmasq

LINES = "1000"
WITH, WITHOUT = "21", "2121"
"""Control ports: one for the helper, one that it does not know."""


@bench("helper.ftp")
def latency(runs: int) -> Iterator[Figure]:
    """Both through the same `ipmasq`, in turn; every fourth line is a PORT that is rewritten."""
    helped, plain = [], []
    server = (sys.executable, "-m", "tests.bench.echo", "ftp", OUTSIDE, WITH, WITHOUT)
    client = (sys.executable, "-m", "tests.bench.ask", "ftp", OUTSIDE, WITH, WITHOUT, LINES)
    with network() as wires, wires.running("out", *server, ready="ready"):
        for _ in range(runs):
            with ipmasq(wires):
                with_helper, without = json.loads(wires.run("in", *client))
            helped.append([1000 * seconds for seconds in with_helper])
            plain.append([1000 * seconds for seconds in without])
    unit = "ms/line and answer"
    none = Figure("helper.none.line_ms", unit, [median(each) for each in plain])
    yield none
    yield Figure("helper.ftp.line_ms", unit, [median(each) for each in helped], none.name)
    added = [median(a) - median(b) for a, b in zip(helped, plain, strict=True)]
    yield Figure("helper.ftp.latency_ms", "ms added", added)
    added = [_p99(a) - _p99(b) for a, b in zip(helped, plain, strict=True)]
    yield Figure("helper.ftp.latency_p99_ms", "ms added at p99", added)


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]
