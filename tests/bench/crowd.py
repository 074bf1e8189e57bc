"""A gateway in all but its plane, with many flows: `python -m tests.bench.crowd SOCKET FLOWS`. It says `ready` when they are open,
and answers on its control socket until it is ended."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from ipmasq.control.control import Control
from ipmasq.control.server import Access
from ipmasq.gateway.loop import Loop
from tests.bench.fresh import as_the_gateway
from tests.bench.traffic import engine, half_open
from tests.control.running import StandIn

PAUSE = 0.005


def main(path: str, flows: int) -> None:
    as_the_gateway()
    loop = Loop()
    gateway = engine(now=loop.clock())
    for number in range(flows):
        half_open(gateway, number, loop.clock())
        if not number % 64:
            gateway.events()
    gc.freeze()
    Control(StandIn(gateway, loop), loop, Access(Path(path))).open()
    print("ready", flush=True)
    while True:
        loop.later(PAUSE, lambda: None)
        loop.round()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
