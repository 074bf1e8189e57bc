"""How soon after its start a gateway forwards the first packet."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from tests.bench.figures import Figure, bench
from tests.bench.topology import OUTSIDE, Network, network
from tests.bench.ways import ipmasq

PORT = "7"
PLANES = {"tun": "tun", "ebpf": "ebpf-tc"}
"""By the word in the figure's name."""


@bench("start")
def start(runs: int) -> Iterator[Figure]:
    """From the start of the process to the first answer from outside at an inside host, as a service has it:
    without warming up, but with all files in the page cache."""
    server = (sys.executable, "-m", "tests.bench.echo", "udp", OUTSIDE, PORT)
    with network() as wires, wires.running("out", *server, ready="ready"):
        for word, plane in PLANES.items():
            _first(wires, plane)
            yield Figure(f"start.{word}.s", "s", [_first(wires, plane) for _ in range(runs)])


def _first(wires: Network, plane: str) -> float:
    """Seconds from the start of a gateway to the first answer."""
    client = wires.command("in", sys.executable, "-m", "tests.bench.first", OUTSIDE, PORT)
    with subprocess.Popen(client, stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout
        assert waiting.stdout.readline() == "ready\n"
        began = time.monotonic()
        with ipmasq(wires, plane):
            return float(waiting.stdout.readline()) - began
