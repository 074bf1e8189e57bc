"""The table, its footnotes, and for what failed: the whole conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from demo.cells import ALL, CLIENT, KILL_AFTER, SERVER, SLOW_SECONDS
from demo.clients import able
from demo.gateways import FastPath
from demo.runner import KilledResult, LinkResult, Result
from demo.session import Outcome

NOTES = {CLIENT.otherwise: "a", SERVER.otherwise: "b"}
MARKS = {"a": "¹", "b": "²"}


def show(
    console: Console,
    results: Sequence[Result],
    links: Sequence[LinkResult],
    killed: Sequence[KilledResult] = (),
) -> None:
    matrix = [result for result in results if not result.cell.title]
    more = [result for result in results if result.cell.title]
    if matrix:
        console.print(_matrix(matrix))
        for announce in ALL:
            names = ", ".join(client.name for client in able(announce))
            console.print(f"  {announce} by {names}", highlight=False)
        for reason, note in NOTES.items():
            console.print(f"  {MARKS[note]} {reason}; the helper adds the link", highlight=False)
        console.print()
    if more:
        console.print(_more(more))
    if links:
        console.print(_links(links))
    if killed:
        console.print(_killed(killed))


def fast_paths(console: Console, paths: Mapping[str, FastPath]) -> None:
    for host, path in sorted(paths.items()):
        by_xdp = f" ({path.by_xdp:,} by XDP)" if path.by_xdp else ""
        console.print(
            f"{host}: {path.offloaded:,} packets forwarded in the kernel{by_xdp}, "
            f"{path.left:,} left to the engine",
            highlight=False,
        )


def transcripts(console: Console, wrong: Sequence[tuple[str, Outcome]]) -> None:
    for label, outcome in wrong:
        console.rule(f"{label}: {outcome.client}")
        console.print(f"{outcome.problem or 'it works'} ({outcome.seconds:.1f} s)", style="bold")
        console.print(outcome.transcript, markup=False, highlight=False)


def _matrix(results: Sequence[Result]) -> Table:
    table = Table("masqueraded", "port", *ALL, title="Who announces how", show_lines=True)
    rows: dict[tuple[str, int], dict[str, str]] = {}
    for result in results:
        row = rows.setdefault((result.cell.direction.name, result.cell.port), {})
        row[result.cell.announce] = f"{_helped(result.helped)}\nwithout: {_unhelped(result)}"
    for (name, port), row in rows.items():
        table.add_row(name, str(port), *(row.get(announce, "") for announce in ALL))
    return table


def _more(results: Sequence[Result]) -> Table:
    table = Table("also", "masqueraded", "with the helper", "without it", title="More of it")
    for result in results:
        cell = result.cell
        explain = not cell.needs_helper and not result.wrong_unhelped
        table.add_row(
            f"{cell.title} ({cell.announce})" if cell.announce in ALL else cell.title,
            cell.direction.name,
            _helped(result.helped),
            _unhelped(result) + (f": {cell.reason}" if explain else ""),
        )
    return table


def _links(links: Sequence[LinkResult]) -> Table:
    title = f"The link: {SLOW_SECONDS} s of data, control silent and idle for longer than it may be"
    table = Table("masqueraded", "announced", "with the helper", "without it", title=title)
    for link in links:
        without = "no data connection at all (above)"
        if link.unhelped:
            failed = link.unhelped not in link.wrong
            without = (
                "control forgotten, fails as it must"
                if failed
                else _bad("DOES NOT FAIL AS IT MUST")
            )
        spared = link.helped.works
        table.add_row(
            link.linked.helped.name,
            link.linked.announce,
            "kept alive, then idle time anew" if spared else _bad("FAILS"),
            without,
        )
    return table


def _killed(killed: Sequence[KilledResult]) -> Table:
    title = f"Killed (kill -9) and started again {KILL_AFTER} s after the start of a transfer of {SLOW_SECONDS} s"
    table = Table("masqueraded", "announced", "the transfer", title=title)
    for each in killed:
        direction, announce = each.what
        arrived = "arrives whole, and its end is heard"
        table.add_row(direction.name, announce, _bad("FAILS") if each.wrong else arrived)
    return table


def _helped(outcomes: Sequence[Outcome]) -> str:
    failed = [outcome.client for outcome in outcomes if not outcome.works]
    if failed:
        return _bad(f"FAILS: {', '.join(failed)}")
    return f"[green]works[/] x {len(outcomes)}"


def _unhelped(result: Result) -> str:
    wrong = [outcome.client for outcome in result.wrong_unhelped]
    if result.cell.needs_helper:
        if wrong:
            return _bad(f"DOES NOT FAIL AS IT MUST: {', '.join(wrong)}")
        return "fails as it must"
    if wrong:
        return _bad(f"FAILS: {', '.join(wrong)}")
    note = NOTES.get(result.cell.reason)
    return f"not needed{MARKS[note] if note else ''}"


def _bad(text: str) -> str:
    return f"[bold red]{text}[/]"
