"""`ipmasq upgrade`: a newly installed version takes over from the running gateway."""

from __future__ import annotations

import time
from typing import Any

from ipmasq.control.client import Client, UnreachableError
from ipmasq.front import output
from ipmasq.front.asking import SOCKET, Socket, ask
from ipmasq.front.exits import give_up

PATIENCE = 20.0
"""Seconds that the new process may take to serve the socket."""


def upgrade(socket: Socket = SOCKET) -> None:
    """Let the installed version take over, without a pause.

    The new process starts while the old one forwards. It takes over connections, FTP sessions and devices when it
    is ready; if it does not get ready, the old one goes on, and the exit code is 1. It is for a new version, for changed
    settings that a reload does not apply, and under systemd, too.

    \b
    Example:
      apt install ./ipmasq_0.2_all.deb && ipmasq upgrade
    """
    with ask(socket) as gateway:
        process = gateway.ask("upgrade")["process"]
    status = _status_of(process, socket)
    if status is None:
        raise give_up(f"process {process} was ready and does not answer; the log says why")
    output.say(
        f"process {process}, version {status['version']}, has taken over {status['flows']} flows"
    )


def _status_of(process: int, socket: str) -> dict[str, Any] | None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with Client(socket) as gateway:
                (status,) = gateway.rows("status")
            if status["process"] == process:
                return dict(status)
        except (UnreachableError, OSError):
            pass
        time.sleep(0.05)
    return None
