"""The command line. Whatever a command needs beyond the control interface is imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from ipmasq.front import change, inspect, show, watch
from ipmasq.front.exits import Code, Group, give_up
from ipmasq.front.output import say
from ipmasq.main import offline, run

app = typer.Typer(
    name="ipmasq",
    cls=Group,
    help=(
        "An IP-masquerading gateway with helpers for protocols that carry addresses in their payload.\n\n"
        "Begin with: ipmasq config example > gateway.toml; ipmasq check gateway.toml; "
        "ipmasq run gateway.toml"
    ),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 success, 1 failure or negative answer, 2 wrong usage, 3 faulty configuration, 4 no gateway.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"ipmasq {version('ipmasq')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


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


def _add_lab() -> None:
    """Add `ipmasq lab`, which exists on Linux only."""
    try:
        from ipmasq.lab.cli import app as lab
    except ImportError:
        return
    app.add_typer(lab, name="lab")


app.command("help")(show_help)
app.command()(run.run)
app.command()(offline.check)
app.command()(change.reload)
app.command()(inspect.status)
app.add_typer(show.app, name="show")
app.command()(inspect.explain)
app.command()(watch.watch)
app.add_typer(change.forward, name="forward")
app.add_typer(change.helper, name="helper")
app.add_typer(change.timeouts, name="timeouts")
app.command()(change.close)
app.command()(offline.replay)
app.add_typer(offline.configuration, name="config")
_add_lab()


def main() -> None:
    app(prog_name="ipmasq")
