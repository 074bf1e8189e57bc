"""How long commands take that ask a running gateway, as whole processes, so that scripts can use them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, bench
from tests.bench.topology import INSIDE, OUTSIDE, network
from tests.bench.ways import ipmasq

COMMANDS = {
    "status": ("status",),
    "show": ("show", "flows"),
    "explain": ("explain", "tcp", f"{INSIDE}:40000", f"{OUTSIDE}:21"),
}
"""By the word in the figure's name."""


@bench("command")
def commands(runs: int) -> Iterator[Figure]:
    """`python` is an interpreter that does nothing, which is the limit."""
    program = str(Path(sys.executable).with_name("ipmasq"))
    limit = "command.python.s"
    with network() as wires, ipmasq(wires) as socket:
        yield Figure(limit, "s", [_seconds(sys.executable, "-c", "pass") for _ in range(runs)])
        for word, command in COMMANDS.items():
            asking = (program, *command, "--socket", str(socket))
            _seconds(*asking)
            yield Figure(f"command.{word}.s", "s", [_seconds(*asking) for _ in range(runs)], limit)


def _seconds(*command: str) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began
