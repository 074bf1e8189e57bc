"""What forwarding one packet costs, by way, kind of packet, direction and number of flows: same wires, in turn.

Generator, forwarding and sink share one processor, so that a figure is the cost of all three; generator
and sink are the same for each way. Flows have their turn in a scattered order, as in a real crowd.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product

from ipmasq.wire import ipv4
from tests.bench import conntrack
from tests.bench.figures import Figure, bench
from tests.bench.path_ways import WAYS
from tests.bench.path_wires import MOST, Kind, Wires, wires
from tests.bench.ways import MASQUERADE

FLOWS = (1, 1_000, 100_000, MOST)
KINDS = (
    (Kind("udp64", ipv4.UDP, 50), Kind("udp1400", ipv4.UDP, 1400)),
    (Kind("tcp64", ipv4.TCP, 50),),
)
"""Those of one protocol have the same flows."""
AS_IT_COMES = f"{MASQUERADE}-default"
"""With room for as many connections, in the buckets that the kernel gave itself: so most leave it."""
LIMITS = {"xdp": "xdp-redirect", "tc": "tc-redirect"}

Samples = dict[tuple[str, str, str], list[float]]
"""By direction (`path` or `path.back`), way, and the rest of a figure's name."""


@bench("path")
def path(runs: int) -> Iterator[Figure]:
    """Packets per second that arrive, rewritten as they must be."""
    samples: Samples = {}
    usual = conntrack.usual_buckets()
    with ExitStack() as stack:
        stack.enter_context(conntrack.room(MOST))
        stack.enter_context(one_processor())
        made = {way: stack.enter_context(wires()) for way in WAYS}
        for kinds, flows in product(KINDS, FLOWS):
            print(
                f"        {' and '.join(kind.name for kind in kinds)}, {flows:,} flows", flush=True
            )
            _measure(made, kinds, flows, runs, usual, samples)
    yield from _figures(samples)


def _measure(
    made: Mapping[str, Wires],
    kinds: Sequence[Kind],
    flows: int,
    runs: int,
    usual: int,
    samples: Samples,
) -> None:
    """All ways stand side by side, each with its flows, and have their turns."""

    with ExitStack() as stack:
        for name, way in WAYS.items():
            stack.enter_context(way.forwards(made[name], kinds[0], flows))
            made[name].fill(kinds[0], flows, way.translates)
        for _, kind, back in product(range(runs), kinds, (False, True)):
            start, rest = "path.back" if back else "path", f"{kind.name}.{flows}"
            for name, way in WAYS.items():
                rate = made[name].rate(kind, flows, way.translates, back)
                samples.setdefault((start, name, rest), []).append(rate)
            if flows == MOST:
                with conntrack.buckets(usual):
                    rate = made[MASQUERADE].rate(kind, flows, True, back)
                samples.setdefault((start, AS_IT_COMES, rest), []).append(rate)


def _figures(samples: Samples) -> Iterator[Figure]:
    for (start, way, rest), found in samples.items():
        name, unit = f"{start}.{way}.{rest}", "packets/s"
        yield Figure(f"{name}.pps", unit, found, f"{start}.{MASQUERADE}.{rest}.pps")
        if way in LIMITS:
            yield Figure(f"{name}.limit", unit, found, f"{start}.{LIMITS[way]}.{rest}.pps")


@contextmanager
def one_processor() -> Iterator[None]:
    """Or part of the work would sometimes be done by another one at the same time."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
