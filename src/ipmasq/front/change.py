"""Commands that change a running gateway, until its next restart or reload, or permanently with --save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from ipmasq.control.protocol import Kind, RequestError
from ipmasq.front import completing, output
from ipmasq.front.asking import SOCKET, Json, Socket, ask
from ipmasq.front.exits import Code, give_up
from ipmasq.wire.lines import with_commands

forward = typer.Typer(
    help="Publish servers that are inside.", no_args_is_help=True, rich_markup_mode=None
)
helper = typer.Typer(
    help="Load, unload, write and try helpers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
OF_PORT = "udp."
"""The prefix of a port that has an idle time of its own."""

timeouts = typer.Typer(help="Show or set idle times.", no_args_is_help=True, rich_markup_mode=None)

ForwardName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Its name in `show forwards`.",
        autocompletion=completing.forwards,
    ),
]
HelperName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Its name in `show helpers`.",
        autocompletion=completing.helpers,
    ),
]
Save: TypeAlias = Annotated[
    bool, typer.Option("--save", help="Keep the change in a file beside the configuration.")
]


@forward.command("add")
def forward_add(
    protocol: Annotated[str, typer.Argument(metavar="tcp|udp")],
    ports: Annotated[str, typer.Argument(metavar="PORT[-PORT]", help="Public port or range.")],
    to: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS[:PORT[-PORT]]",
            help="The inside server; its ports are the public ones by default.",
        ),
    ],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Its name in commands.")] = None,
    public: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only at this public address.")
    ] = None,
    save: Save = False,
    as_json: Json = False,
    socket: Socket = SOCKET,
) -> None:
    """Publish a server. Live flows are not affected.

    \b
    Examples:
      ipmasq forward add tcp 2121 10.0.0.2:21 --name ftp
      ipmasq forward add udp 5000-5010 10.0.0.3
    """
    inside, port = _server(to)
    with ask(socket) as gateway:
        added = gateway.ask(
            "forward_add",
            protocol=protocol,
            ports=ports,
            inside=inside,
            inside_port=port,
            public=public,
            name=name,
            save=save or None,
        )
    _warn(added)
    if as_json:
        output.say_json(added)
    else:
        where = f"{added['public'] or '*'}:{added['ports']}"
        to = f"{added['inside']}:{added['inside_ports']}"
        output.say(f"forward {added['name']}: {added['protocol']} {where} -> {to}{_saved(added)}")


def _server(text: str) -> tuple[str, str | None]:
    """Its address, and its ports if they are not the public ones."""
    from ipmasq.config.values import target
    from ipmasq.wire.addresses import to_text

    try:
        found = target(text)
    except ValueError as error:
        raise give_up(f"to: {error}", Code.USAGE) from None
    return to_text(found.address), str(found.ports) if found.ports else None


@forward.command("del")
def forward_del(name: ForwardName, save: Save = False, socket: Socket = SOCKET) -> None:
    """Stop publishing a server. Its live flows survive.

    \b
    Example:
      ipmasq forward del ftp
    """
    done = f"forward {name} is removed; its live flows survive"
    _change(socket, done, "forward_remove", name=name, save=save or None)


@helper.command("load")
def helper_load(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="An installed helper, or a Python file.",
            autocompletion=completing.installed,
        ),
    ],
    port: Annotated[
        list[int] | None,
        typer.Option(
            "--port", metavar="PORT", help="A port instead of the usual ones; may be repeated."
        ),
    ] = None,
    save: Save = False,
    socket: Socket = SOCKET,
) -> None:
    """Load a helper. A file runs with the gateway's rights, so only root may load one.

    \b
    Examples:
      ipmasq helper load ftp --port 21 --port 2121
      ipmasq helper load ./finger.py
    """
    file = None
    if wanted.endswith(".py") or "/" in wanted:
        file = str(Path(wanted).resolve())  # the gateway has another working directory
        if not Path(file).is_file():
            raise give_up(f"there is no file {wanted}")
    with ask(socket) as gateway:
        name = None if file else wanted
        loaded = gateway.ask(
            "helper_load", name=name, file=file, ports=port or None, save=save or None
        )
    _warn(loaded)
    output.say(f"helper {loaded['name']} is loaded{_saved(loaded)}")


@helper.command("unload")
def helper_unload(name: HelperName, save: Save = False, socket: Socket = SOCKET) -> None:
    """Unload a helper. Its connections survive.

    \b
    Example:
      ipmasq helper unload ftp
    """
    done = f"helper {name} is unloaded; its connections survive"
    _change(socket, done, "helper_unload", name=name, save=save or None)


@helper.command("reload")
def helper_reload(name: HelperName, socket: Socket = SOCKET) -> None:
    """Load a helper's changed code; connections survive.

    \b
    Example:
      ipmasq helper reload ftp
    """
    _change(socket, f"helper {name} is loaded again", "helper_reload", name=name)


@timeouts.command("show")
def timeouts_show(as_json: Json = False, socket: Socket = SOCKET) -> None:
    """Show the idle times after which flows expire.

    \b
    Example:
      ipmasq timeouts show
    """
    with ask(socket) as gateway:
        _say_timeouts(next(gateway.rows("timeouts")), as_json)


@timeouts.command("set")
def timeouts_set(
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=TIME...",
            help='TIME is in seconds, or "90s", "2h4m".',
            autocompletion=completing.timeouts,
        ),
    ],
    as_json: Json = False,
    socket: Socket = SOCKET,
) -> None:
    """Change idle times, also those of live flows. Names: tcp_established, tcp_opening, tcp_closing, udp, icmp,
    fragment, and udp.PORT for UDP to one port of servers.

    \b
    Example:
      ipmasq timeouts set udp=30s tcp_established=2h4m udp.53=30s
    """
    from ipmasq.config.values import duration

    wanted: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise give_up(f"{setting}: write NAME=TIME, such as udp=2m", Code.USAGE)
        try:
            time = duration(float(text) if text.isdigit() else text)
        except ValueError as error:
            raise give_up(f"{name}: {error}", Code.USAGE) from None
        if name.startswith(OF_PORT):
            wanted.setdefault("udp_ports", {})[name.removeprefix(OF_PORT)] = time
        else:
            wanted[name] = time
    with ask(socket) as gateway:
        try:
            found = gateway.ask("timeouts_set", **wanted)
        except RequestError as error:
            raise RequestError(error.kind, _as_typed(error.message), error.details) from None
    _warn(found, _as_typed)
    _say_timeouts(found, as_json)


def _as_typed(text: str) -> str:
    """With the names of idle times as they are written here."""
    return text.replace("udp_ports.", OF_PORT).replace("udp_ports", f"{OF_PORT}PORT")


def _say_timeouts(found: dict[str, Any], as_json: bool) -> None:
    from ipmasq.config.values import duration_text

    if as_json:
        output.say_json(found)
    else:
        ports = found.pop("udp_ports", {})
        for name, seconds in [*found.items(), *((OF_PORT + port, ports[port]) for port in ports)]:
            output.say(f"{name:<16} {duration_text(seconds)}")


def close(
    flows: Annotated[
        list[int],
        typer.Argument(
            metavar="FLOW...",
            help="Numbers as `show flows` lists them.",
            autocompletion=completing.flows,
        ),
    ],
    socket: Socket = SOCKET,
) -> None:
    """Close flows. Later packets are dropped, or open a new flow.

    \b
    Example:
      ipmasq close 17
    """
    missing = False
    with ask(socket) as gateway:
        for flow in flows:
            try:
                gateway.ask("close", flow=flow)
                output.say(f"flow {flow} is closed")
            except RequestError as error:
                # The flow may have ended by itself in the meantime, which is no reason to leave the others
                # open.
                if error.kind is not Kind.NOT_FOUND:
                    raise
                output.complain(error.message)
                missing = True
    if missing:
        raise typer.Exit(Code.FAILED)


def reload(socket: Socket = SOCKET) -> None:
    """Apply the changed configuration file. Flows that it still allows continue.

    A file with mistakes changes nothing; the mistakes are shown, and the exit code is 3.

    \b
    Example:
      ipmasq check gateway.toml && ipmasq reload
    """
    with ask(socket) as gateway:
        done = gateway.ask("reload")
    _warn(done)
    output.say(f"reloaded; {done['closed']} flows that are no longer allowed were closed")


def _warn(answer: dict[str, Any], words: Callable[[str], str] = str) -> None:
    for warning in answer.pop("warnings", ()):
        for line in with_commands(f"warning: {words(warning)}"):
            output.complain(line)


def _change(socket: str, done: str, request: str, **arguments: object) -> None:
    with ask(socket) as gateway:
        answer = gateway.ask(request, **arguments)
    _warn(answer)
    output.say(f"{done}{_saved(answer)}")


def _saved(answer: dict[str, Any]) -> str:
    return f"; saved in {answer['saved']}" if "saved" in answer else ""
