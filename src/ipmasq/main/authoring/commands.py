"""`ipmasq helper`: the commands for a running gateway, and those for authors of helpers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ipmasq.front import completing, output
from ipmasq.front.change import helper as app
from ipmasq.front.exits import Code, give_up
from ipmasq.wire.visible import visible

__all__ = ["app"]


@app.command("new")
def new_project(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One lower-case word: the protocol.")],
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="ipmasq-NAME by default.")
    ] = None,
) -> None:
    """Write a project with a helper and its tests.

    It is a Python package. The helper is complete, for a small protocol that the comments explain; replace that by yours.

    \b
    Examples:
      ipmasq helper new courier
      ipmasq helper new courier ~/src/courier
    """
    from ipmasq.main.authoring.project import NameTakenError, write

    target = directory or Path(f"ipmasq-{name}")
    try:
        made = write(name, target)
    except ValueError as error:
        raise give_up(str(error), Code.USAGE) from None
    except NameTakenError as error:
        raise give_up(str(error)) from None
    for path in made:
        output.say(str(path))
    output.say(f"next: read {target / 'README.md'}")


@app.command("test")
def try_helper(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A Python file, or an installed helper.",
            autocompletion=completing.installed,
        ),
    ],
    playbook: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A conversation, with what shall happen to each line."),
    ] = None,
    capture: Annotated[
        Path | None, typer.Option(metavar="PCAP", help="A capture of a real conversation.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "-c",
            "--config",
            metavar="FILE",
            help="The configuration, for inside networks and forwards; by default the private networks of RFC 1918.",
        ),
    ] = None,
) -> None:
    """Try a helper on a playbook or a capture.

    It prints each line that the helper was given, what was rewritten, expected and refused. Without a playbook and a
    capture it only loads the helper and prints what it declares. If the helper raises an exception, its line in the
    helper's file is shown.

    Exit code 1 if the helper raised an exception, if something is not as the playbook says, or if no line of the
    capture was given to it.

    \b
    Examples:
      ipmasq helper test courier.py --playbook courier.talk
      ipmasq helper test courier.py --capture in.pcapng -c gateway.toml
    """
    from ipmasq.config.helpers import HelperError, find
    from ipmasq.main.authoring import trial

    if playbook and capture:
        raise give_up("name a playbook or a capture, but not both", Code.USAGE)
    try:
        use = find(wanted)
    except HelperError as error:
        raise give_up(str(error)) from None
    try:
        if playbook:
            trial.on_playbook(use, playbook)
        elif capture:
            trial.on_capture(use, capture, config)
        else:
            trial.declaration(use)
    except trial.TrialError as error:
        raise give_up(visible(str(error))) from None
