"""The command line. The commands are in `commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from ipmasq.front.output import say
from ipmasq.main.commands import LazyGroup

app = typer.Typer(
    name="ipmasq",
    cls=LazyGroup,
    help=(
        "An IP-masquerading gateway with helpers for protocols that carry addresses in their payload.\n\n"
        "Begin with: ipmasq setup gateway.toml; ipmasq check gateway.toml; ipmasq run gateway.toml. "
        "If something does not work: ipmasq doctor"
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


def main() -> None:
    app(prog_name="ipmasq")
