"""A gateway with the FTP helper on an impaired path: `impairment_gateway.py SEED FAULTS`, FAULTS as JSON for
`ipmasq.planes.fault.Faults`, for both sides alike, from SIGUSR1 on.

Connections are opened without impairment: an end that has lost SYNs measures round trips of many
seconds, and waits as long before each repetition."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from random import Random

from ipmasq.core.engine import Engine
from ipmasq.core.policy import HelperUse, Policy
from ipmasq.core.side import Side
from ipmasq.gateway.drive import Drive, chance
from ipmasq.gateway.loop import Loop
from ipmasq.helpers.ftp import Ftp
from ipmasq.planes.fault import FaultPlane, Faults
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.wire.addresses import to_address, to_network


def main(seed: str, faults: str) -> None:
    loop = Loop()
    inside = (to_network("10.0.0.0/24"),)
    public = to_address("203.0.113.1")
    policy = Policy(
        inside,
        (public,),
        frozenset((public, to_address("10.0.0.1"))),
        helpers=(HelperUse("ftp", Ftp, 6, frozenset((21,)), True),),
        ttl_delta=TunPlane.ttl_delta,
    )
    impairment = dict.fromkeys(Side, Faults(**json.loads(faults)))
    with tempfile.TemporaryDirectory() as directory:
        tun = TunPlane("go", ("gi",), inside, Path(directory))
        plane = FaultPlane(tun, {}, Random(int(seed)), loop.clock)

        def storm(*_: object) -> None:
            plane.faults = impairment
            print("storm", flush=True)

        signal.signal(signal.SIGUSR1, storm)
        drive = Drive(Engine(policy, chance, loop.clock()), plane, loop)
        signal.signal(signal.SIGTERM, lambda *_: loop.stop())
        drive.start()
        print("ready", flush=True)
        loop.run()
        drive.stop()
        done = plane.tallies.values()
        print(sum(each.lost + each.duplicated + each.delayed + each.corrupted for each in done))


main(*sys.argv[1:])
