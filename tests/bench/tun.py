"""The tun plane beside kernel forwarding and nftables masquerade: same wires, in turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any

from tests.bench.figures import Figure, bench
from tests.bench.topology import OUTSIDE, WAYS, Network, network

SECONDS = "1.5"
ROUND_TRIPS = "1000"
PORT = "5201"

Samples = dict[str, list[float]]
ECHO, ASK = "tests.bench.echo", "tests.bench.ask"


@bench("tun")
def tun(runs: int) -> Iterator[Figure]:
    """Bulk TCP, small datagrams, round trips. More is better but for microseconds."""
    units: dict[str, str] = {}
    samples: Samples = {}
    with network() as wires:
        for _ in range(runs):
            for way, forwards in WAYS.items():
                with forwards(wires):
                    for (name, unit), value in _measure(wires):
                        units[name] = unit
                        samples.setdefault(f"{way}.{name}", []).append(value)
    for name, unit in units.items():
        for way in WAYS:
            yield Figure(
                f"{way}.{name}", unit, samples[f"{way}.{name}"], f"kernel-masquerade.{name}"
            )


def _measure(wires: Network) -> Iterator[tuple[tuple[str, str], float]]:
    yield ("tcp.gbps", "Gbit/s"), _bits(_iperf(wires)) / 1e9
    yield ("tcp8.gbps", "Gbit/s, 8 streams"), _bits(_iperf(wires, "-P", "8")) / 1e9
    yield ("udp.pps", "packets/s of 64 B that arrive"), _datagrams(_iperf(wires, *SMALL))
    trips = _round_trips(wires)
    yield ("latency.us", "us/round trip"), median(trips) * 1e6
    yield ("latency_p99.us", "us/round trip"), quantiles(trips, n=100)[98] * 1e6


SMALL = ("-u", "-b", "0", "-l", "64")


def _iperf(wires: Network, *options: str) -> Any:
    with wires.running("out", "iperf3", "-s", "-p", PORT, "--forceflush", ready="listening"):
        said = wires.run("in", "iperf3", "-c", OUTSIDE, "-p", PORT, "-t", SECONDS, "-J", *options)
    return json.loads(said)["end"]


def _bits(end: Any) -> float:
    return float(end["sum_received"]["bits_per_second"])


def _datagrams(end: Any) -> float:
    arrived = end["sum"]["packets"] - end["sum"]["lost_packets"]
    return float(arrived / end["sum"]["seconds"])


def _round_trips(wires: Network) -> list[float]:
    python: Callable[..., tuple[str, ...]] = lambda *words: (sys.executable, "-m", *words)  # noqa: E731
    with wires.running("out", *python(ECHO, "udp", OUTSIDE, "7"), ready="ready"):
        said = wires.run("in", *python(ASK, "udp", OUTSIDE, "7", ROUND_TRIPS))
    taken: list[list[float]] = json.loads(said)
    return taken[0]
