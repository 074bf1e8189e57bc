"""Commands that need no gateway: `check`, `config example`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from ipmasq.front import output
from ipmasq.front.asking import Json
from ipmasq.front.exits import Code
from ipmasq.main.run import Config, File, one_of
from ipmasq.wire.lines import with_commands

if TYPE_CHECKING:
    from ipmasq.config import HostState, Loaded, Problem

configuration = typer.Typer(
    help="Print an example of a configuration.", no_args_is_help=True, rich_markup_mode=None
)


def check(
    file: File = None,
    config: Config = None,
    elsewhere: Annotated[
        bool,
        typer.Option(
            "--elsewhere", help="The file is for another machine; do not examine this one."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Report every mistake in a configuration file.

    Each is shown with its line. It also warns of what is legal but probably wrong.

    Exit code 3 if there are mistakes; warnings alone give 0.

    \b
    Examples:
      ipmasq check gateway.toml
      ipmasq check gateway.toml --elsewhere --json
    """
    from ipmasq.config import load, review

    loaded, this = load(one_of(file, config)), None if elsewhere else here()
    report = review(loaded, this)
    if report.is_good and this is not None:
        report = replace(report, warnings=(*report.warnings, *_firewall(loaded, this)))
    if as_json:
        kinds = {"error": report.errors, "warning": report.warnings}
        output.say_json_list(
            {"kind": kind, **asdict(each)} for kind, found in kinds.items() for each in found
        )
    else:
        for line in chain.from_iterable(map(with_commands, report.lines())):
            output.say(line)
    if not report.is_good:
        raise typer.Exit(Code.CONFIG)


@configuration.command("example")
def example() -> None:
    """Print an example configuration with every setting.

    \b
    Example:
      ipmasq config example > gateway.toml
    """
    from importlib.resources import files

    sys.stdout.write((files("ipmasq.config") / "example.toml").read_text(encoding="utf-8"))


def _firewall(loaded: Loaded, this: HostState) -> Iterator[Problem]:
    """Yield what in the host's firewall obstructs the gateway."""
    from ipmasq.config import Problem
    from ipmasq.gateway.firewall.check import check as check_firewall

    for found in check_firewall(loaded, this):
        yield Problem(str(loaded.path), None, "firewall", str(found))


def here() -> HostState:
    """Return what the configuration is compared with on this machine."""
    from ipmasq.config import read_host_state
    from ipmasq.gateway.sockets import served

    return read_host_state(served)
