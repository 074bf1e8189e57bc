"""`ipmasq state ...`: shows, saves and loads what a gateway remembers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from ipmasq.front import output
from ipmasq.front.asking import CONFIG, SOCKET, Json, Socket
from ipmasq.front.exits import Code, give_up

app = typer.Typer(
    help="Show, save or load what a gateway remembers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Config: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help=f"If no gateway runs: the configuration that says where its state is; {CONFIG} if it exists.",
    ),
]


@app.command()
def show(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A state; by default that of the gateway here."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
    socket: Socket = SOCKET,
) -> None:
    """Show what a state holds, also while the gateway runs.

    It counts flows, mappings, expected flows and inspected connections, and lists what an operator has changed; it shows
    nothing of what connections carry. Of a damaged state, such as one that was refused (FILE.refused), it counts what can be
    read. Exit code 1 if a gateway would refuse it, with the reason.

    \b
    Examples:
      ipmasq state show
      ipmasq state show /run/ipmasq/state-4026531840.db.refused --json
    """
    from ipmasq.main.state.paths import path_of_state
    from ipmasq.main.state.showing import read_copy, report, say

    path = file.resolve() if file else path_of_state(socket, config)
    found = read_copy(path)
    if as_json:
        output.say_json(report(path, found))
    else:
        say(report(path, found))
    if found.trouble:
        raise give_up(f"{path}: {found.trouble}")


@app.command()
def save(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    config: Config = None,
    socket: Socket = SOCKET,
) -> None:
    """Save the state of the gateway to a file, also while it runs.

    FILE is as the state would be after a crash at this moment. If no gateway runs, it is what the last one has left. Only root
    may do this, and only root may read FILE, since it may hold what users have typed.

    \b
    Example:
      ipmasq state save /root/ipmasq.state
    """
    from ipmasq.main.state.paths import path_of_state
    from ipmasq.main.state.saving import save as write

    only_root("save")
    write(path_of_state(socket, config), file, force)
    output.say(f"saved to {file}")


@app.command()
def load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A state that was saved.")],
    config: Config = None,
) -> None:
    """Put a saved state in place for the next start.

    It replaces the state that is there, if any, which gets another name. Connections go on from where they were when FILE was
    saved, so those that were in use since may end. No gateway may run here meanwhile. FILE is refused if it is damaged, of
    another version, or if another user may have written it. Only root may do this.

    \b
    Example:
      ipmasq stop && ipmasq state load /root/ipmasq.state && ipmasq run
    """
    from ipmasq.main.state.loading import load as put
    from ipmasq.main.state.paths import location

    only_root("load")
    for line in put(file, location(config)):
        output.say(line)


def only_root(what: str) -> None:
    """Raise typer.Exit unless root has called."""
    if os.geteuid():
        raise give_up(f"only root may {what} a state", Code.FAILED)
