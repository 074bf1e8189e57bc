"""`ipmasq upgrade`: a newly installed version takes over from the running gateway."""

from __future__ import annotations

from ipmasq.control.client import Client
from ipmasq.front import output
from ipmasq.front.asking import SOCKET, Json, Socket

LONGEST = 150.0
"""Seconds to wait: longer than the gateway waits for a process that gets ready and takes over."""


def upgrade(socket: Socket = SOCKET, as_json: Json = False) -> None:
    """Let the installed version take over from the running one.

    A new process starts, with the same arguments, while the old one forwards. When it is ready, it takes over
    connections, FTP sessions and devices, and the old one ends; if it fails, the old one goes on, and the exit code is 1.

    It works under systemd as well as by hand. To apply a changed file to the running version, use ipmasq reload.

    \b
    Example:
      pip install --upgrade ipmasq && ipmasq upgrade
    """
    with Client(socket, LONGEST) as gateway:
        done = gateway.ask("upgrade")
    if as_json:
        output.say_json(done)
        return
    output.say(
        f"process {done['process']} has taken over; nothing was decided for {1000 * done['waited']:.0f} ms meanwhile"
    )
