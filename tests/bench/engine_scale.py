"""What a packet costs beside few and many other flows, and what waiting flows cost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from ipmasq.core.engine import Engine
from tests.bench.figures import Figure, bench
from tests.bench.fresh import fresh
from tests.bench.traffic import POLICY, Sent, engine, half_open, play, shuffled, udp_flow

SIZES = (10, 10_000, 1_000_000)
PACKETS = 200_000
DUE = 20_000


@bench("engine.scale")
def scale(runs: int) -> Iterator[Figure]:
    """Microseconds per packet of a flow that is chosen anew each time, and per `tick`."""
    smallest = f"engine.flows.{SIZES[0]}.us"
    idle: list[float] = []
    for size in SIZES:
        costs, idle = fresh(beside, size, runs)
        yield Figure(f"engine.flows.{size}.us", "us/packet", costs, ratio_to=smallest)
    yield Figure("engine.tick.idle.us", f"us/tick, {SIZES[-1]:,} idle", idle)
    yield Figure("engine.tick.due.us", "us/flow that ends", fresh(expiring, runs))


def beside(size: int, runs: int) -> tuple[list[float], list[float]]:
    """Packets of many of `size` flows; then `tick` while none of them is due."""
    gateway = engine()
    chance = random.Random(size)
    kept = min(size, PACKETS // 2)
    chosen = set(chance.sample(range(size), kept))
    flows: list[Sent] = []
    for number in range(size):
        if number in chosen:
            flows += udp_flow(gateway, number, 1.0)
        else:
            half_open(gateway, number, 1.0)
        if not number % 64:
            gateway.events()
    costs = []
    for _ in range(runs):
        traffic = shuffled(flows, PACKETS)
        costs.append(_microseconds(lambda: play(gateway, traffic, 2.0), PACKETS))  # noqa: B023
    return costs, [_ticking(gateway) for _ in range(runs)]


def _ticking(gateway: Engine) -> float:
    """The second that is worked on has nothing in it; the engine's `receive` does not even ask."""
    ticks = 10_000

    def tick() -> None:
        for _ in range(ticks):
            gateway.tick(3.0)

    return _microseconds(tick, ticks)


def expiring(runs: int) -> list[float]:
    costs = []
    for _ in range(runs):
        gateway = engine(replace(POLICY, timeouts=replace(POLICY.timeouts, udp=10.0)))
        for number in range(DUE):
            udp_flow(gateway, number, 1.0)
            gateway.events()
        costs.append(_microseconds(lambda: gateway.tick(100.0), DUE))  # noqa: B023
        assert not gateway.table.flows
    return costs


def _microseconds(work: Callable[[], object], times: int) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / times * 1e6
