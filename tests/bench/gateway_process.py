"""A gateway on the tun plane, with the FTP helper: `python -m tests.bench.gateway_process DIRECTORY`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Policy
from ipmasq.gateway.drive import Drive, chance
from ipmasq.gateway.loop import Loop
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.wire.addresses import to_address, to_network
from tests.bench.fresh import as_the_gateway
from tests.bench.topology import GATEWAY_IN, GATEWAY_OUT
from tests.bench.traffic import FTP

INSIDE = to_network("10.0.0.0/24")


def main(directory: str) -> None:
    as_the_gateway()
    loop = Loop()
    plane = TunPlane("go", ("gi",), (INSIDE,), Path(directory))
    policy = Policy(
        inside=(INSIDE,),
        public=(to_address(GATEWAY_OUT),),
        own=frozenset((to_address(GATEWAY_IN), to_address(GATEWAY_OUT))),
        helpers=(FTP,),
        hop=plane.hop,
    )
    drive = Drive(Engine(policy, chance, loop.clock()), plane, loop)
    drive.start()
    try:
        loop.on_signal(signal.SIGTERM, loop.stop)
        print("ready", flush=True)
        loop.run()
    finally:
        drive.stop()


if __name__ == "__main__":
    main(sys.argv[1])
