"""The tun plane beside kernel forwarding and nftables masquerade."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.figures import Figure, bench
from tests.bench.in_turn import beside_masquerade
from tests.bench.iperf import datagrams, gigabits
from tests.bench.topology import Network
from tests.bench.trips import percentile, round_trips
from tests.bench.ways import MASQUERADE


@bench("tun")
def tun(runs: int) -> Iterator[Figure]:
    """Bulk TCP, small datagrams, round trips. More is better but for microseconds."""
    yield from beside_masquerade(runs, ("kernel-forward", MASQUERADE, "tun"), _measure)


def _measure(wires: Network) -> Iterator[tuple[str, str, float]]:
    yield "tcp.gbps", "Gbit/s", gigabits(wires, streams=1)
    yield "tcp8.gbps", "Gbit/s, 8 streams", gigabits(wires, streams=8)
    yield "udp.pps", "packets/s of 64 B that arrive", datagrams(wires)
    trips = round_trips(wires)
    yield "latency.us", "us/round trip", percentile(50, trips)
    yield "latency_p99.us", "us/round trip", percentile(99, trips)
