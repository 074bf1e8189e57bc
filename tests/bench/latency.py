"""Round trips while others keep the gateway busy: on the fast path, and of packets that it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.echo import WITH_OPTIONS
from tests.bench.figures import Figure, bench
from tests.bench.in_turn import in_turn
from tests.bench.iperf import load
from tests.bench.topology import Network
from tests.bench.trips import percentile, round_trips
from tests.bench.ways import MASQUERADE

UNIT = "us/round trip under load"
FIGURES = {
    "kernel-masquerade": (MASQUERADE, "fast"),
    "ebpf.fast": ("ebpf", "fast"),
    "ebpf.up": ("ebpf", "up"),
}
"""By figure: through what, and which of the packets."""


@bench("latency")
def latency(runs: int) -> Iterator[Figure]:
    """Those with IP options are passed up, in both directions; the others settle and go by."""
    samples = in_turn(runs, (MASQUERADE, "ebpf"), _measure)
    for which in ("p50", "p99"):
        for name, (way, packets) in FIGURES.items():
            found = samples[f"{packets}.{which}", UNIT][way]
            yield Figure(
                f"latency.{name}.{which}.us", UNIT, found, f"latency.{MASQUERADE}.{which}.us"
            )


def _measure(wires: Network) -> Iterator[tuple[str, str, float]]:
    with load(wires):
        trips = {"fast": round_trips(wires), "up": round_trips(wires, WITH_OPTIONS)}
    for packets, taken in trips.items():
        yield f"{packets}.p50", UNIT, percentile(50, taken)
        yield f"{packets}.p99", UNIT, percentile(99, taken)
