"""Bytes of the gateway's own memory per flow that the fast path has, beside what the engine needs anyway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from ipmasq.offload.offload import Offloader
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.loading import OBJECT
from ipmasq.planes.ebpf.table import Table, sizes
from tests.bench.figures import Figure, bench
from tests.bench.flow_memory import FLOWS
from tests.bench.fresh import fresh
from tests.bench.traffic import POLICY, PUBLIC, engine, tcp_flow


@bench("fast.flow.python")
def fast_memory(runs: int) -> Iterator[Figure]:
    """It hardly varies."""
    yield Figure(
        "fast.flow.python.bytes", "bytes/flow", [fresh(added) for _ in range(min(runs, 2))]
    )


def added() -> float:
    """What the process grows by when the listener is told of flows that have become offloadable."""
    gateway = engine(replace(POLICY, public=PUBLIC[:2]))
    for number in range(FLOWS):
        tcp_flow(gateway, number, 1 + number * 1e-5)
        gateway.events()
    image = files("ipmasq.planes.ebpf").joinpath(OBJECT).read_bytes()
    table = Table(libbpf.Object(image, sizes(2 * FLOWS)), 2 * FLOWS)
    offload = Offloader(gateway, table, lambda: 1.0)
    before = own_memory()
    for flow in gateway.table.flows:
        gateway.restate(flow)
        offload.carry_out(gateway.commands())
    assert len(offload.numbers()) == FLOWS
    return (own_memory() - before) / FLOWS


def own_memory() -> int:
    """Bytes of this process that it does not share, as it does the table (proc(5))."""
    found = re.search(r"RssAnon:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024
