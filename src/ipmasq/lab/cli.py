"""`ipmasq lab`: the lab on the command line. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ipmasq.lab import gateways, processes, record
from ipmasq.lab.lab import Lab, LabError
from ipmasq.lab.plan import LARGEST_MTU, Layout, LayoutError

app = typer.Typer(
    name="lab",
    help="Build a network of namespaces for experiments.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Prefix = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        envvar="IPMASQ_LAB",
        help="The lab's name, with which the names of its namespaces begin.",
    ),
]
DEFAULT = Layout()


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except LayoutError as error:
        raise _failure(str(error), 2) from None
    except (LabError, record.DamagedError) as error:
        raise _failure(str(error), 1) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise _failure(f"{where}{error.strerror or error}", 1) from None


def _failure(message: str, code: int) -> typer.Exit:
    typer.echo(f"ipmasq lab: {message}", err=True)
    return typer.Exit(code)


def _network(text: str) -> IPv4Network:
    with suppress(ValueError):
        return IPv4Network(text)
    try:
        meant = IPv4Network(text, strict=False)
    except ValueError:
        example = f"such as {DEFAULT.network}"
        raise typer.BadParameter(f'"{text}" is not an IPv4 network, {example}') from None
    raise typer.BadParameter(f'"{text}" is an address in a network; write "{meant}"')


@app.command()
def up(
    prefix: Prefix = DEFAULT.prefix,
    gateways_: Annotated[
        int,
        typer.Option(
            "--gateways", metavar="1|2", min=1, max=2, help="2 adds a private network behind gw2."
        ),
    ] = DEFAULT.gateways,
    inside: Annotated[
        int, typer.Option(metavar="N", min=0, help="Hosts behind each gateway.")
    ] = DEFAULT.inside,
    outside: Annotated[
        int, typer.Option(metavar="N", min=0, help="Hosts outside.")
    ] = DEFAULT.outside,
    mtu: Annotated[
        int, typer.Option(metavar="BYTES", min=576, max=LARGEST_MTU, help="MTU of every interface.")
    ] = DEFAULT.mtu,
    transit_mtu: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            min=576,
            max=LARGEST_MTU,
            help="MTU between the gateways and the Internet; by default as --mtu.",
        ),
    ] = None,
    network: Annotated[
        IPv4Network,
        typer.Option(parser=_network, metavar="NETWORK", help="The network behind gw1."),
    ] = DEFAULT.network,
    second_network: Annotated[
        IPv4Network,
        typer.Option(parser=_network, metavar="NETWORK", help="The network behind gw2."),
    ] = DEFAULT.second_network,
    xdp: Annotated[
        bool,
        typer.Option("--xdp", help="Interfaces that suit XDP, and gateways that use it (--run)."),
    ] = False,
    run: Annotated[bool, typer.Option("--run", help="Start `ipmasq run` on the gateways.")] = False,
) -> None:
    """Build a lab.

    \b
    Examples:
      ipmasq lab up --gateways 2 --run
      ipmasq lab up --run && ipmasq lab exec in1 -- ping -c1 198.51.100.1
    """
    with _plain_errors():
        layout = Layout(
            prefix, gateways_, inside, outside, mtu, transit_mtu, network, second_network, xdp=xdp
        )
        lab = Lab.up(layout)
        if run:
            with _down_on_failure(lab):
                gateways.start(lab)
        _show(lab)


@contextmanager
def _down_on_failure(lab: Lab) -> Iterator[None]:
    try:
        yield
    except BaseException:
        lab.down()
        raise


@app.command()
def down(
    prefix: Prefix = DEFAULT.prefix,
    all_: Annotated[bool, typer.Option("--all", help="Remove every lab.")] = False,
) -> None:
    """Remove a lab in any state, and end its processes.

    \b
    Example:
      ipmasq lab down
    """
    with _plain_errors():
        for name in record.known() if all_ else [prefix]:
            if record.load(name) is None:
                typer.echo(f"There is no lab {name!r}; nothing to remove.")
            else:
                typer.echo(f"Removed {len(Lab.find(name).down())} namespaces of {name!r}.")


@app.command(
    "exec", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True}
)
def execute(
    host: Annotated[str, typer.Argument(metavar="HOST", help="in1, out1, gw1, ...")],
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND...", help="The command to run there, after `--`."),
    ],
    prefix: Prefix = DEFAULT.prefix,
) -> None:
    """Run a command on a host of the lab; its exit code is passed on.

    \b
    Example:
      ipmasq lab exec in1 -- curl -s http://198.51.100.1/
    """
    with _plain_errors():
        lab = Lab.find(prefix)
        arguments = lab.command(host, command)
        if gateways.is_started(lab, host):
            os.environ.setdefault(gateways.SOCKET_VARIABLE, str(gateways.socket_path(lab, host)))
        # This finds `ipmasq` even in a virtual environment that was not activated.
        os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{Path(sys.executable).parent}"
        os.execvp(arguments[0], arguments)


@app.command()
def status(prefix: Prefix = DEFAULT.prefix) -> None:
    """Show the hosts of a lab, their addresses, and what runs on them. Exit code 1 if a part is missing.

    \b
    Example:
      ipmasq lab status
    """
    with _plain_errors():
        lab = Lab.find(prefix)
        _show(lab)
        if not all(each.exists for each in lab.status()):
            raise LabError(f"a part of {prefix!r} is missing; take it down and up again")


def _show(lab: Lab) -> None:
    found = record.load(lab.prefix)
    since = time.strftime("%F %T", time.localtime(found.created)) if found else "?"
    table = Table("host", "role", "addresses", "default route", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    hosts = lab.status()
    for each in hosts:
        interfaces = (f"{i.name} {i.address}" for i in each.host.interfaces)
        table.add_row(
            each.host.name if each.exists else f"{each.host.name} (gone)",
            each.host.role,
            "\n".join(interfaces),
            each.host.default_via or "",
        )
    console = Console(highlight=False)
    console.print(f"Lab {lab.prefix!r}, up since {since}; its namespaces are {lab.prefix}-HOST")
    console.print(table)
    for each in hosts:
        for pid in processes.first_of(each.processes):
            text = f"{each.host.name} runs {pid}: {processes.command_line(pid)}"
            console.print(text, markup=False, soft_wrap=True)
