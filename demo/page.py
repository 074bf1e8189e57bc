"""After the demo, for whoever is at the terminal: a gateway at work, in a browser."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from demo import cells
from demo.gateway_ipmasq import IpmasqGateway, make_ipmasq
from demo.runner import Runner
from demo.stage import stage

ADDRESS, PORT = "127.0.0.1", 8470

OFFER = "Look at a gateway at work, in a browser? \\[y/N] "

TOLD = """\

[bold]Open {address} in a browser of this machine.[/]
From another machine: [bold]ssh -L {port}:{host}:{port}[/] to this one, and open the same address there.

Six transfers of ten seconds go through the gateway, again and again: the client is masqueraded, or the server, or both.
Network has them as arrows; Helpers has the addresses that were rewritten, before and after; Flows has each connection.
The same in a terminal: {program} top --socket {socket}
"""


def offer(console: Console, plane: str) -> None:
    """Ask whether the page is wanted, and show it until Enter is pressed. Nothing is asked if nobody is at a terminal."""
    if not (sys.stdin.isatty() and console.is_terminal):
        return
    with suppress(EOFError):
        if console.input(OFFER).strip().lower() in ("y", "yes"):
            console.print("starting it ...")
            show(console, plane)


def show(console: Console, plane: str) -> None:
    with (
        stage(xdp="xdp" in plane) as testbed,
        Runner(testbed, make_ipmasq(plane), console.print).transfers(cells.KILLED) as gateways,
    ):
        first = gateways[0]
        assert isinstance(first, IpmasqGateway)
        with _web(first.socket) as port:
            told = {"address": f"http://{ADDRESS}:{port}/", "host": ADDRESS, "port": port}
            told |= {"program": _program(), "socket": first.socket}
            console.print(TOLD.format(**told), highlight=False, soft_wrap=True)
            with suppress(EOFError, KeyboardInterrupt):
                console.input("Enter ends it. ")
        console.print("ending it ...")


@contextmanager
def _web(control: Path) -> Iterator[int]:
    """Serve the pages of the gateway with this control socket. Yields the port. They end with this process, even if it is
    killed."""
    port = _free_port()
    command = [_program(), "web", "--listen", f"{ADDRESS}:{port}", "--socket", str(control)]
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl+C is for us
    ) as process:
        try:
            assert process.stdout
            if "The pages are at" not in (said := process.stdout.readline()):
                raise RuntimeError(f"ipmasq web did not start: {said.strip()}")
            yield port
        finally:
            process.terminate()


def _free_port() -> int:
    """Return the usual port, or another one if that is in use."""
    for wanted in (PORT, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ADDRESS, wanted))
            found: int = probe.getsockname()[1]
            return found
    raise RuntimeError(f"no port of {ADDRESS} is free")


def _program() -> str:
    return str(Path(sys.executable).with_name("ipmasq"))
