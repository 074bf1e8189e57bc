"""`python -m demo`: plays everything and shows it. Exit codes: 0 all as it must be, 1 not, 2 wrong
usage, 130 interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from demo import cells, page, report
from demo.gateway_ipmasq import make_ipmasq
from demo.gateway_kernel import KernelGateway
from demo.gateways import FastPath
from demo.picture import draw
from demo.runner import Runner, counted
from demo.stage import stage
from ipmasq.lab import LabError

PLAIN_WIDTH = 150


class Kind(StrEnum):
    IPMASQ = "ipmasq"
    KERNEL = "kernel"


def main(
    plane: Annotated[str, typer.Option(help="What moves the packets of `ipmasq run`.")] = "tun",
    gateway: Annotated[Kind, typer.Option(help="kernel: netfilter, to compare.")] = Kind.IPMASQ,
    only: Annotated[str, typer.Option(help="Only cells whose label contains this.")] = "",
    links: Annotated[bool, typer.Option(help="Show the link as well (15 s).")] = True,
    kill: Annotated[bool, typer.Option(help="Kill gateways during transfers, too (20 s).")] = True,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the tables to an SVG image, too.")
    ] = None,
) -> None:
    """Real FTP through the gateway, whichever side is masqueraded, with the helper and without it.

    Example: python -m demo --only "server masqueraded" --no-links
    """
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH

    make = KernelGateway if gateway is Kind.KERNEL else make_ipmasq(plane)
    what = (
        "the kernel's own masquerading" if gateway is Kind.KERNEL else f"ipmasq run, {plane} plane"
    )
    console.print(f"The gateways: {what}")
    started = time.monotonic()
    wanted = [cell for cell in (*cells.MATRIX, *cells.MORE) if only in cell.label]
    with stage(xdp="xdp" in plane) as testbed:
        runner = Runner(testbed, make, console.print)
        results = runner.cells(wanted) if wanted else []
        if only in cells.STRICT.label:
            results += runner.cells([cells.STRICT], strict=True)
        linked = runner.links(cells.LINKS) if links else []
        killed = runner.killed(cells.KILLED) if kill and gateway is Kind.IPMASQ else []
    wrong = [(result.cell.label, outcome) for result in results for outcome in result.wrong]
    wrong += [("the link", outcome) for link in linked for outcome in link.wrong]
    wrong += [("killed", outcome) for each in killed for outcome in each.wrong]
    paths = runner.fast_paths
    idle = [host for host, path in paths.items() if not only and _is_unused(plane, path)]
    report.transcripts(console, wrong)
    if wrong:
        console.rule("the gateways")
        console.print(runner.accounts, markup=False, highlight=False)
    report.show(console, results, linked, killed)
    if picture:
        draw(picture, results, linked, killed)
    report.fast_paths(console, paths)
    sessions = sum(len(result.helped) + len(result.unhelped) for result in results)
    sessions += sum(1 if link.unhelped is None else 2 for link in linked) + len(killed)
    for host in idle:
        console.print(f"{host} did not forward as plane {plane} should", style="bold red")
    console.print(
        f"{counted(len(results) + len(linked) + len(killed), 'cell')}, {sessions} sessions, "
        f"{len(wrong) + len(idle)} not as they must be; {time.monotonic() - started:.0f} s in all"
    )
    if gateway is Kind.IPMASQ:
        page.offer(console, plane)
    raise typer.Exit(1 if wrong or idle else 0)


def _is_unused(plane: str, path: FastPath) -> bool:
    """The programs must have forwarded something, and XDP most of it where it was asked for."""
    return not path.offloaded or ("xdp" in plane and path.by_xdp <= path.offloaded / 2)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        typer.run(main)
    except (LabError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        sys.exit(f"demo: {error}")
