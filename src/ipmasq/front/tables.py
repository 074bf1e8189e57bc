"""Tables that fit the terminal. On a narrow terminal the less important columns are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ipmasq.wire.visible import visible

Row: TypeAlias = dict[str, Any]

UNBOUNDED_WIDTH = 200
"""The width for output into a pipe or a file, for grep and awk."""

BATCH = 1000
"""Rows that are aligned together. Listings may be longer than fits into memory."""


@dataclass(frozen=True)
class Column:
    title: str
    cell: Callable[[Row], str]
    width: int = 0
    """The column is shown only on terminals at least this wide."""
    justify: Literal["left", "right"] = "left"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """As everywhere in the command line, `exits.Group` handles this."""
        raise BrokenPipeError


def console() -> Console:
    made = _Console(highlight=False, soft_wrap=False)
    if not made.is_terminal and "COLUMNS" not in made._environ:
        made.width = UNBOUNDED_WIDTH
    return made


def show(rows: Iterable[Row], columns: tuple[Column, ...], empty: str) -> int:
    """Print rows as they arrive and return their number. `empty` is printed if there are none."""
    screen, count = console(), 0
    chosen = [column for column in columns if column.width <= screen.width]
    for batch in _batches(iter(rows)):
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for column in chosen:
            table.add_column(column.title, justify=column.justify, overflow="fold")
        for row in batch:
            table.add_row(*(Text(visible(column.cell(row))) for column in chosen))
        screen.print(table)
        count += len(batch)
    if not count:
        screen.print(empty)
    return count


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


# -- cells


def endpoint(value: Row) -> str:
    address, port = value["address"], value["port"]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def duration(seconds: float | None) -> str:
    """Format in at most six characters, the two largest units: `1h59m`, `4m0s`, `12s`; `linked` for never."""
    if seconds is None:
        return "linked"
    whole = int(seconds)
    for size, unit, smaller, small in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller}{small}"
    return f"{whole}s"


def size(count: int) -> str:
    """Format a number of bytes in four characters and a unit."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return (
                f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
            )
        amount /= 1000
    return f"{amount:.1f} TB"
