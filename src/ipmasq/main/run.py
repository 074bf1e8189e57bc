"""`ipmasq run`: the gateway itself. What it needs is imported when it is run."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from ipmasq.front.exits import Code, give_up
from ipmasq.front.output import complain

CONFIG = "/etc/ipmasq/gateway.toml"


class Plane(StrEnum):
    AUTO = "auto"
    TUN = "tun"
    EBPF = "ebpf"
    EBPF_TC = "ebpf-tc"
    EBPF_XDP = "ebpf-xdp"
    EBPF_XDP_GENERIC = "ebpf-xdp-generic"


class Log(StrEnum):
    TEXT = "text"
    JSON = "json"


File: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="FILE", help=f"Without: {CONFIG}", show_default=False)
]
Config: TypeAlias = Annotated[
    str | None, typer.Option("-c", "--config", metavar="FILE", help="The same.")
]


def one_of(file: str | None, config: str | None) -> str:
    """The configuration, which can be named in two ways. Raises typer.Exit if it is in both."""
    if file and config:
        raise give_up("one file at a time", Code.USAGE)
    return file or config or CONFIG


def run(
    file: File = None,
    config: Config = None,
    plane: Annotated[
        Plane | None, typer.Option(help="What moves the packets, whatever the file says.")
    ] = None,
    log: Annotated[Log, typer.Option(help="How to log, to the standard error output.")] = Log.TEXT,
    debug: Annotated[bool, typer.Option("--debug", help="Log each flow, too.")] = False,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; SIGHUP reloads. Everything it changed is undone.

    \b
    Examples:
      ipmasq run gateway.toml
      ipmasq run gateway.toml --log json 2>>/var/log/ipmasq.json
    """
    import logging

    from ipmasq.control.server import SocketError
    from ipmasq.gateway import logs
    from ipmasq.gateway.setup import SetupError
    from ipmasq.planes.plane import PlaneError

    path = one_of(file, config)
    logs.begin(logging.DEBUG if debug else logging.INFO, log is Log.JSON)
    try:
        _run(path, plane.value if plane else None)
    except SetupError as error:
        for mistake in error.mistakes:
            complain(mistake)
        raise typer.Exit(Code.CONFIG) from None
    except (PlaneError, SocketError) as error:
        raise give_up(str(error)) from None
    except PermissionError as error:
        text = f"the gateway needs root: {error.filename or error.strerror}"
        raise give_up(text) from None


def _run(config: str, plane: str | None) -> None:
    """Raises SetupError, PlaneError and SocketError; then nothing is left behind."""
    from ipmasq.config import load
    from ipmasq.control.control import Control
    from ipmasq.control.server import Access, find_trouble
    from ipmasq.control.socket_path import usual_socket
    from ipmasq.gateway import logs
    from ipmasq.gateway.file import File
    from ipmasq.gateway.gateway import Gateway
    from ipmasq.gateway.loop import Loop

    loop, file = Loop(), File(config)
    for warning in file.read().warnings:
        logs.log.warning("%s", warning)
    gateway = Gateway(file, loop, plane=plane)
    table = load(config).config.control
    access = Access(Path(table.socket or usual_socket()), table.mode, table.group)
    find_trouble(access)
    control = Control(gateway, loop, access)
    gateway.listeners.extend((control.tell, logs.Writer(gateway.host_of)))
    # They wait for the loop: one that came sooner would end the process and leave everything as it is.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    gateway.start()
    try:
        # Last: whoever finds the socket finds a gateway that works.
        control.open()
        loop.run()
    finally:
        control.close()
        gateway.stop()
