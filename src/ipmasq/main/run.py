"""`ipmasq run`: the gateway itself. What it needs is imported when it runs."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ipmasq.front.asking import CONFIG
from ipmasq.front.exits import Code, give_up
from ipmasq.front.output import complain

if TYPE_CHECKING:
    from ipmasq.gateway.file import File as Configuration


VIEW_MODE = 0o660
"""The mode of the socket on which nothing can be changed: its group may use it."""


class Plane(StrEnum):
    AUTO = "auto"
    TUN = "tun"
    EBPF = "ebpf"
    EBPF_TC = "ebpf-tc"
    EBPF_XDP = "ebpf-xdp"
    EBPF_XDP_GENERIC = "ebpf-xdp-generic"


class Log(StrEnum):
    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


File: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE", help=f"The configuration; {CONFIG} by default.", show_default=False
    ),
]
Config: TypeAlias = Annotated[
    str | None, typer.Option("-c", "--config", metavar="FILE", help="The same as FILE.")
]


def one_of(file: str | None, config: str | None) -> str:
    """Return the configuration file, which can be named in two ways. Raises typer.Exit if both are used."""
    if file and config:
        raise give_up("name one configuration file only", Code.USAGE)
    return file or config or CONFIG


def run(
    file: File = None,
    config: Config = None,
    plane: Annotated[
        Plane | None, typer.Option(help="How to forward packets; overrides the file.")
    ] = None,
    log: Annotated[
        Log | None,
        typer.Option(help="The log's format (on standard error); overrides the file."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Log every flow.")] = False,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; SIGHUP reloads. At the end it undoes its changes to the host.

    SIGUSR2 ends it too, but leaves connections and changes to a successor (state.grace).

    \b
    Examples:
      ipmasq run gateway.toml
      ipmasq run gateway.toml --log json 2>>/var/log/ipmasq.json
    """
    import logging

    from ipmasq.control.server import SocketError
    from ipmasq.gateway import logs
    from ipmasq.gateway.file import File as Configuration
    from ipmasq.gateway.setup import SetupError
    from ipmasq.main.observers import ObserverError
    from ipmasq.planes.plane import PlaneError

    path = one_of(file, config)
    level, wanted = logging.DEBUG if debug else logging.INFO, log.value if log else None
    logs.begin(level, wanted or Log.AUTO.value)
    configuration = Configuration(path)
    configuration.followers.append(lambda read: logs.begin(level, wanted or read.log.format))
    try:
        _run(configuration, plane.value if plane else None)
    except SetupError as error:
        for mistake in error.mistakes:
            complain(mistake)
        raise typer.Exit(Code.CONFIG) from None
    except (PlaneError, SocketError, ObserverError) as error:
        raise give_up(str(error)) from None
    except PermissionError as error:
        text = f"the gateway needs root: {error.filename or error.strerror}"
        raise give_up(text) from None


def _run(file: Configuration, plane: str | None) -> None:
    """Run the gateway. Raises SetupError, PlaneError, SocketError and ObserverError; in that case nothing is left behind."""
    from ipmasq.control.control import Control
    from ipmasq.control.server import Access, check_access
    from ipmasq.control.socket_path import usual_socket, usual_view_socket
    from ipmasq.gateway import logs
    from ipmasq.gateway.gateway import Gateway
    from ipmasq.gateway.loop import Loop
    from ipmasq.main.observers import Observers
    from ipmasq.main.service.place import program

    loop = Loop()
    gateway = Gateway(file, loop, plane=plane)
    socket, viewing = file.control, None
    access = Access(Path(socket.socket or usual_socket()), socket.mode, socket.group)
    check_access(access)
    if socket.view_group is not None:
        path = Path(socket.view_socket or usual_view_socket())
        viewing = Access(path, VIEW_MODE, socket.view_group)
        check_access(viewing)
    doctor = [str(program()), "doctor", "--json", "--socket", str(access.path), "--", file.path]
    control = Control(gateway, loop, access, viewing, doctor)
    gateway.listeners.extend((control.tell, logs.Writer(gateway.host_of)))
    observers = Observers(gateway, loop, file)
    # Signals wait for the loop. An earlier one would end the process without undoing its changes to the host.
    handled = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    try:
        observers.open()
        gateway.start()
        try:
            # The socket is opened last, so that whoever finds it finds a gateway that works.
            control.open()
            loop.run()
        finally:
            control.close()
            gateway.stop()
    finally:
        observers.close()  # after the gateway, so that its last events are recorded
