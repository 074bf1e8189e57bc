"""`ipmasq run`: the gateway itself. What it needs is imported when it runs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ipmasq.front.asking import CONFIG
from ipmasq.front.exits import Code, give_up
from ipmasq.front.output import complain

if TYPE_CHECKING:
    from ipmasq.gateway.file import File as Configuration


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
    successor: Annotated[str | None, typer.Option(hidden=True)] = None,
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
        _run(configuration, plane.value if plane else None, successor)
    except SetupError as error:
        for mistake in error.mistakes:
            complain(mistake)
        raise typer.Exit(Code.CONFIG) from None
    except (PlaneError, SocketError, ObserverError) as error:
        raise give_up(str(error)) from None
    except PermissionError as error:
        text = f"the gateway needs root: {error.filename or error.strerror}"
        raise give_up(text) from None


def _run(file: Configuration, plane: str | None, successor: str | None) -> None:
    """Run the gateway; see `ipmasq.gateway.heir` about a `successor`. Raises SetupError, PlaneError, SocketError and
    ObserverError; in that case nothing is left behind."""
    from ipmasq.gateway.heir import Succession
    from ipmasq.gateway.loop import Loop
    from ipmasq.main.program import Program

    if successor is None:
        Program(file, Loop(), plane).run()
        return
    try:
        succession = Succession(successor)
    except (ValueError, OSError):
        raise give_up("--successor is for ipmasq upgrade alone", Code.USAGE) from None
    with succession.guarded():
        program = Program(file, Loop(), plane, succession)
        program.run()
