"""A gateway without configuration file and control socket: what it is told is JSON, in a file that it
reads again on SIGHUP."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from pyroute2 import IPRoute

from ipmasq.continuity.settings import StateSettings
from ipmasq.core.policy import (
    PORT_HOLD,
    Behaviour,
    Forward,
    HelperUse,
    Limits,
    Policy,
    PortRange,
    Timeouts,
    port_list,
    port_set,
)
from ipmasq.gateway import logs
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.setup import Setup, SetupError
from ipmasq.helpers.ftp import Ftp
from ipmasq.helpers.tftp import Tftp
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.plane import PlaneError
from ipmasq.wire.addresses import Address, to_address, to_network

FTP = HelperUse("ftp", Ftp, 6, frozenset((21,)), orthogonal=True)
TFTP = HelperUse("tftp", Tftp, 17, frozenset((69,)), orthogonal=True)


class Json:
    def __init__(self, path: str) -> None:
        self.path = path
        self.said: dict[str, object] = {}

    def read(self) -> Setup:
        try:
            self.said = json.loads(Path(self.path).read_text())
        except ValueError as error:
            raise SetupError([str(error)]) from error
        return self.adapt()

    def adapt(self) -> Setup:
        said = self.said
        inside: dict[str, str] = said.get("inside", {"gi": "10.0.0.0/24"})  # type: ignore[assignment]
        outside = addresses("go")
        public = [to_address(str(said["public"]))] if "public" in said else outside
        policy = Policy(
            inside=tuple(map(to_network, inside.values())),
            public=tuple(public),
            own=frozenset(chain(outside, *map(addresses, inside))),
            ports=port_set(port_list(str(said.get("ports", "61000-65095")))),
            timeouts=Timeouts(**said.get("timeouts", {})),  # type: ignore[arg-type]
            limits=Limits(**said.get("limits", {})),  # type: ignore[arg-type]
            helpers=tuple(use for use in (FTP, TFTP) if said.get(use.name)),
            filtering=Behaviour(int(str(said.get("filtering", 1)))),
            port_hold=float(str(said.get("port_hold", PORT_HOLD))),
            forwards=tuple(
                Forward(name, protocol, None, PortRange(port, port), to_address(host), to)
                for name, protocol, port, host, to in said.get("forwards", ())  # type: ignore[attr-defined]
            ),
        )
        kept = StateSettings(grace=float(str(said["grace"]))) if said.get("grace") else None
        plane = str(said.get("plane", "tun"))
        return Setup(policy, "go", tuple(inside), plane=plane, state=kept)

    def helper(self, name: str | None, file: str | None, ports: Sequence[int] | None) -> HelperUse:
        raise KeyError(name)

    def review_forward(self, forward: Forward, uses: Iterable[HelperUse]) -> Sequence[str]:
        return ()

    def renewed(self, use: HelperUse) -> HelperUse:
        return use


def addresses(interface: str) -> list[Address]:
    with IPRoute() as kernel:
        index = kernel.link_lookup(ifname=interface)
        found = kernel.get_addr(family=2, index=index[0]) if index else ()
        return [to_address(each.get_attr("IFA_LOCAL")) for each in found]


def facts(gateway: Gateway) -> dict[str, object]:
    """What a test wants to know in between."""
    offload = gateway.offloading.offloader
    offload.refresh()
    return {
        "plane": gateway.status()["plane"],
        "firewall": gateway.status()["firewall"],
        "state": gateway.status()["state"],
        "is_written": not gateway.engine.has_changes,
        "entered": len(offload.numbers()),
        "fast": offload.tally.packets,
        "room": gateway._plane.fast.table.capacity // 2,
        "slow": gateway.engine.counts[0],
        "left": {each.name: each.value for each in gateway.fast_path() if each.value},
        "flows": [
            [str(view.state), view.helper, view.packets_out, view.packets_in]
            for view in gateway.engine.flows()
        ],
    }


def main(path: str) -> None:
    said = json.loads(Path(path).read_text())
    logs.begin(said.get("log", logging.WARNING), "text")
    loop = Loop()
    try:
        file = Json(path)
        gateway = Gateway(file, loop, Path(path).parent)
        gateway.listeners.append(logs.Writer(gateway.engine.table.host_of))
        if not file.said.get("tcx", True):
            sys.path.insert(0, str(Path(__file__).parents[2]))
            from tests.planes.ebpf import old_kernel

            libbpf.link = old_kernel.link
        gateway.start()
    except (PlaneError, SetupError) as error:
        sys.exit(str(error))
    loop.on_signal(signal.SIGUSR1, lambda: print(json.dumps(facts(gateway)), flush=True))
    loop.later(0, lambda: print("ready", flush=True))  # when signals are handled
    loop.run()
    gateway.stop()


if __name__ == "__main__":
    main(sys.argv[1])
