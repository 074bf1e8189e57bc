"""What each thing that an operator does costs in memory: `python -m tests.soak.acts [PLANE]`. Needs root.

After the first round, in which caches fill, all figures should be near zero.
"""

from __future__ import annotations

import sys
import time

from tests.soak.operate import Operator
from tests.soak.stage import Running, stage

ACTS = ("reload_helper", "reload", "publish", "look", "flap")
TIMES = 25
ROUNDS = 3

SETTLED = 0.3
"""Seconds until the gateway has followed an interface."""


def main(plane: str = "tun") -> None:
    with stage(plane, seed=1) as made:
        running = Running(made, {})
        operator = Operator(made, 0, flaps=True)
        try:
            for name in ACTS:
                for number in range(ROUNDS):
                    print(
                        f"{name}, round {number + 1}: {_cost(running, operator, name)}", flush=True
                    )
        finally:
            running.stop()


def _cost(running: Running, operator: Operator, name: str) -> str:
    before = running.facts()
    for _ in range(TIMES):
        getattr(operator, name)()
        if name == "flap":
            time.sleep(SETTLED)
    after = running.facts()
    used, heap = ((after[key] - before[key]) / 1024 / TIMES for key in ("heap_used", "heap"))
    blocks = (after["blocks"] - before["blocks"]) / TIMES
    return f"{used:+.1f} kB in use, {heap:+.1f} kB of heap, {blocks:+.0f} blocks of Python's each"


if __name__ == "__main__":
    main(*sys.argv[1:])
