"""Short connections, from opening to closing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

from tests.bench.figures import Figure, bench
from tests.bench.in_turn import beside_masquerade
from tests.bench.topology import OUTSIDE, Network
from tests.bench.ways import MASQUERADE

COUNT = 10_000
"""As many as there are public ports for, and some to spare: each has its own for minutes."""
SERVER_PORTS = count(5000)
"""A new one each time, so that no client meets its own connection of before."""

BUILD = Path(__file__).parents[2] / "build"


@bench("new")
def new(runs: int) -> Iterator[Figure]:
    """TCP: a byte each way and closing in peace. UDP: a datagram and its answer."""
    yield from beside_masquerade(runs, (MASQUERADE, "tun", "ebpf"), _measure, "new.")


def _measure(wires: Network) -> Iterator[tuple[str, str, float]]:
    program, where = str(_compiled()), (OUTSIDE, str(next(SERVER_PORTS)))
    with wires.running("out", program, "serve", *where, ready="ready"):
        for kind, unit in (("tcp", "connections/s"), ("udp", "flows of two packets/s")):
            seconds, resets = wires.run("in", program, kind, *where, str(COUNT)).split()
            yield f"{kind}.cps", unit, COUNT / float(seconds)
            if kind == "tcp":
                yield "tcp.resets", f"of {COUNT:,} connections", float(resets)


@cache
def _compiled() -> Path:
    """By the compiler that compiles bpf/ where there is no other; what it keeps stays in build/."""
    made = BUILD / "connections"
    source = Path(__file__).with_name("connections.c")
    kept = {"ZIG_GLOBAL_CACHE_DIR": f"{BUILD}/zig", "ZIG_LOCAL_CACHE_DIR": f"{BUILD}/zig"}
    command = [sys.executable, "-m", "ziglang", "cc", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-o", made, source], check=True, env={**os.environ, **kept})
    return made
