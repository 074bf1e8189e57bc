"""Tables that fit the terminal. On a narrow terminal the less important columns are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ipmasq.wire.visible import visible

Row: TypeAlias = dict[str, Any]

UNBOUNDED_WIDTH = 1000
"""The width for output into a pipe or a file, for grep and awk: no column is left out."""

BATCH = 1000
"""Rows that are aligned together. Listings may be longer than fits into memory."""


@dataclass(frozen=True)
class Column:
    title: str
    cell: Callable[[Row], str]
    rank: int = 0
    """0 for a column that is always shown. Of the others, those of the highest rank are left out first."""
    justify: Literal["left", "right"] = "left"
    wraps: bool = False
    """Whether its cells may be broken at a space, so that other columns have room."""


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
    chosen: list[Column] = []
    for batch in _batches(iter(rows)):
        chosen = chosen or _fitting(columns, batch, screen.width)
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for column in chosen:
            table.add_column(column.title, justify=column.justify, overflow="fold")
        for row in batch:
            table.add_row(*(Text(_text(column, row)) for column in chosen))
        screen.print(table)
        count += len(batch)
    if not count:
        screen.print(empty)
    return count


def _text(column: Column, row: Row) -> str:
    return visible(column.cell(row))


def _fitting(columns: tuple[Column, ...], rows: list[Row], width: int) -> list[Column]:
    """Return the columns that fit side by side, or those that are always shown."""
    wide = {
        column: max(cell_len(column.title), *(_width(column, row) for row in rows))
        for column in columns
    }
    chosen = list(columns)
    for rank in sorted({column.rank for column in columns} - {0}, reverse=True):
        if sum(wide[column] for column in chosen) + len(chosen) - 1 <= width:
            break
        chosen = [column for column in chosen if column.rank != rank]
    return chosen


def _width(column: Column, row: Row) -> int:
    text = _text(column, row)
    return max(map(cell_len, text.split(" "))) if column.wraps else cell_len(text)


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


def size(count: float) -> str:
    """Format a number of bytes in four characters and a unit: `512 B`, `1.2 MB`."""
    amount, prefix = _scaled(count)
    return f"{amount} {prefix}B"


def rate(flow: Row) -> str:
    """Format the bytes per second of a flow: `512`, `1.2M`. They are those of both directions together, on average
    over its life so far. The first second counts as a whole one."""
    return "".join(_scaled((flow["bytes_out"] + flow["bytes_in"]) / max(flow["age"], 1)))


def amount(count: float) -> str:
    """Format a number in at most five characters: `512`, `1.2M`."""
    return "".join(_scaled(count))


def _scaled(amount: float) -> tuple[str, str]:
    """Return a number in four characters, and the prefix that it needs."""
    for prefix in ("", "k", "M", "G", "T"):
        if amount < 1000 or prefix == "T":
            break
        amount /= 1000
    return f"{amount:.0f}" if not prefix or 100 <= amount < 1000 else f"{amount:.1f}", prefix
