"""Bytes of memory per flow, each with a mapping of its own, both directions seen."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ipmasq.core.engine import Engine
from tests.bench.figures import Figure, bench
from tests.bench.fresh import fresh
from tests.bench.traffic import POLICY, PUBLIC, Sent, engine, tcp_flow, udp_flow

FLOWS = 100_000
TRACED = 25_000
"""Fewer, because tracing is slow; Python's dictionaries are as full with these."""


Make: TypeAlias = Callable[[Engine, int, float], tuple[Sent, Sent]]


@bench("engine.flow")
def memory(runs: int) -> Iterator[Figure]:
    """Of the whole process; and, to cross-check, what Python itself has asked for."""
    runs = min(runs, 2)  # it hardly varies
    yield Figure("engine.flow.bytes", "bytes/flow", [fresh(tcp) for _ in range(runs)])
    yield Figure("engine.flow.udp.bytes", "bytes/flow", [fresh(udp) for _ in range(runs)])
    yield Figure(
        "engine.flow.traced.bytes", "bytes/flow", [fresh(traced)], ratio_to="engine.flow.bytes"
    )


def tcp() -> float:
    return _grown(tcp_flow, _resident)


def udp() -> float:
    return _grown(udp_flow, _resident)


def traced() -> float:
    tracemalloc.start()
    return _grown(tcp_flow, lambda: tracemalloc.get_traced_memory()[0], TRACED)


def _grown(make: Make, used: Callable[[], int], flows: int = FLOWS) -> float:
    policy = replace(POLICY, public=PUBLIC[:2])  # 129,024 ports: enough, and not much more
    gateway = engine(policy)
    before = used()
    for number in range(flows):
        make(gateway, number, 1 + number * 1e-5)
        gateway.events()
    grown = used() - before
    assert len(gateway.table.flows) == len(gateway.table.mappings) == flows
    assert all(flow.offloadable for flow in gateway.table.flows.values())
    return grown / flows


def _resident() -> int:
    """Bytes of this process that are in memory (proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
