"""The command that describes commands."""

from __future__ import annotations

from typing import Annotated

import typer

from ipmasq.front.exits import Code, give_up
from ipmasq.front.output import say


def show_help(
    ctx: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND...", show_default=False)
    ] = None,
) -> None:
    """Show how to use a command, or list all commands.

    \b
    Examples:
      ipmasq help
      ipmasq help forward add
    """
    assert ctx.parent is not None
    about = ctx.parent
    for name in command or ():
        found = getattr(about.command, "commands", {}).get(name)
        if found is None:
            raise give_up(f"there is no command {' '.join(command or ())}", Code.USAGE)
        about = type(ctx)(found, info_name=name, parent=about)
    for line in about.command.get_help(about).splitlines():
        say(line)
