"""Starts `ipmasq run` on the gateways of a lab, with a configuration for each."""

from __future__ import annotations

import subprocess
import sys
import time
from ipaddress import ip_interface
from pathlib import Path
from textwrap import dedent

from ipmasq.lab.lab import Lab, LabError
from ipmasq.lab.plan import Host

SOCKET_VARIABLE = "IPMASQ_SOCKET"
"""The environment variable in which the command line finds the control socket."""

PATIENCE = 10.0
"""Seconds that a gateway may take to open its control socket."""


def start(lab: Lab) -> None:
    """Start all gateways and wait until each one answers. Raises LabError."""
    hosts = [host for host in lab.plan.hosts if host.role == "gateway"]
    running = {host.name: _launch(lab, host) for host in hosts}
    deadline = time.monotonic() + PATIENCE
    for name, process in running.items():
        while not socket_path(lab, name).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                log = log_path(lab, name).read_text(encoding="utf-8", errors="replace").strip()
                raise LabError(f"the gateway {name} did not start: {log or 'its log is empty'}")
            time.sleep(0.05)


def configuration(lab: Lab, host: Host) -> str:
    """Return the gateway's configuration, which is also a starting point for the operator's own."""
    inside, outside = host.interfaces
    return dedent(
        f"""\
        [gateway]
        inside = "{ip_interface(inside.address).network}"
        outside = "{outside.name}"
        plane = "{"ebpf-xdp" if outside.xdp else "auto"}"

        [control]
        socket = "{socket_path(lab, host.name)}"
        """
    )


def is_started(lab: Lab, name: str) -> bool:
    return socket_path(lab, name).exists()


def socket_path(lab: Lab, name: str) -> Path:
    return lab.directory / f"{name}.sock"


def log_path(lab: Lab, name: str) -> Path:
    return lab.directory / f"{name}.log"


def _launch(lab: Lab, host: Host) -> subprocess.Popen[bytes]:
    """Start the gateway. It outlives this process; `lab down` ends whatever runs in the lab's namespaces."""
    path = lab.directory / f"{host.name}.toml"
    path.write_text(configuration(lab, host), encoding="utf-8")
    command = [
        str(Path(sys.executable).with_name("ipmasq")),
        "run",
        "--log",
        "text",
        "-c",
        str(path),
    ]
    with log_path(lab, host.name).open("wb") as log:
        return lab.spawn(
            host.name,
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
