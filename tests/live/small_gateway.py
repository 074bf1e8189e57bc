"""A gateway without configuration file and control socket: policy from JSON, engine, tun plane, loop."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Behaviour, Forward, Policy, PortRange
from ipmasq.gateway.drive import Drive, chance
from ipmasq.gateway.host import ports_in_use
from ipmasq.gateway.loop import Loop
from ipmasq.planes.plane import PlaneError
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.wire.addresses import to_address, to_network


def main(settings: dict[str, object]) -> None:
    networks = (to_network("10.0.0.0/24"),)
    public = to_address(str(settings.get("public", "203.0.113.1")))
    own = frozenset(map(to_address, ("203.0.113.1", "10.0.0.1")))
    forwards = tuple(
        Forward(name, protocol, None, PortRange(port, port), to_address(inside), inside_port)
        for name, protocol, port, inside, inside_port in settings.get("forwards", ())  # type: ignore[attr-defined]
    )
    policy = Policy(
        inside=networks,
        public=(public,),
        own=own,
        forwards=forwards,
        filtering=Behaviour(int(str(settings.get("filtering", 1)))),
        hop=TunPlane.hop,
    )
    loop = Loop()
    engine = Engine(policy, chance, loop.clock())
    directory = Path(str(settings.get("directory", "/run/ipmasq")))
    plane = TunPlane("go", ["gi"], networks, directory)
    drive = Drive(engine, plane, loop)
    drive.reserve(ports_in_use())
    loop.on_signal(signal.SIGTERM, loop.stop)
    try:
        drive.start()
    except PlaneError as error:
        sys.exit(str(error))
    loop.every(0.1, lambda: drive.reserve(ports_in_use()))
    loop.every(0.1, plane.refresh)
    print("ready", flush=True)
    loop.run()
    drive.stop()


main(json.loads(sys.argv[1]))
