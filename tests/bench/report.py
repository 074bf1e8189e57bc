"""The figures as a table, as JSON, and in the documentation."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.bench.figures import Figure
from tests.bench.matrix import belongs, matrix
from tests.bench.targets import TARGETS

BEGIN, END = "<!-- begin: python -m tests.bench --write-docs -->", "<!-- end -->"
NUMBERS = ("median", "min", "max")
HEADINGS = ("figure", "unit", *NUMBERS, "ratio", "target")


def entries(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    medians = {figure.name: figure.median for figure in figures}
    return [
        {
            "name": figure.name,
            "unit": figure.unit,
            "median": figure.median,
            "min": min(figure.samples),
            "max": max(figure.samples),
            "ratio_to": figure.ratio_to,
            "ratio": figure.median / medians[figure.ratio_to]
            if figure.ratio_to and medians.get(figure.ratio_to)
            else None,
        }
        for figure in figures
    ]


def as_json(figures: Sequence[Figure]) -> str:
    return json.dumps(entries(figures), indent=2) + "\n"


def as_tables(figures: Sequence[Figure]) -> Iterator[Table]:
    """For a terminal."""
    for titles, rows in _tables(figures):
        table = Table()
        for title in titles:
            table.add_column(
                title, justify="right" if title in NUMBERS else "left", no_wrap=title == titles[0]
            )
        for row in rows:
            table.add_row(*row, style="red" if row[-1].endswith("not met") else None)
        yield table


def as_markdown(figures: Sequence[Figure], page: str) -> str:
    """The page with the tables in it renewed."""
    lines = [f"{_machine()}, {datetime.now(UTC):%Y-%m-%d}."]
    for titles, rows in _tables(figures):
        rules = ("---:" if title in NUMBERS else "---" for title in titles)
        lines += ["", _line(titles), "|" + "|".join(rules) + "|"]
        lines += [_line((f"`{name}`", *rest)) for name, *rest in rows]
    text = "\n".join((BEGIN, "", *lines, "", END))
    return re.sub(re.escape(BEGIN) + ".*" + re.escape(END), lambda _: text, page, flags=re.DOTALL)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _tables(figures: Sequence[Figure]) -> Iterator[tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Titles and rows. Figures that have a place in the matrix stand alone too if they have a target."""
    found = entries(figures)
    alone = [each for each in found if not belongs(each["name"]) or each["name"] in TARGETS]
    if alone:
        yield HEADINGS, [_row(each) for each in alone]
    if many := [each for each in found if belongs(each["name"])]:
        yield matrix(many)


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    name, other = entry["name"], entry["ratio_to"]
    ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.2f} x {_common(name, other)}"
    numbers = (_short(entry[key]) for key in NUMBERS)
    return name, entry["unit"], *numbers, ratio, _target(entry)


def _common(name: str, other: str) -> str:
    """The one word in which the other's name differs, or else all of it."""
    words = [(a, b) for a, b in zip_longest(name.split("."), other.split(".")) if a != b]
    return words[0][1] if len(words) == 1 and not words[0][1].isdecimal() else other


def _target(entry: dict[str, Any]) -> str:
    target = TARGETS.get(entry["name"])
    value = entry["ratio" if target and target.of_ratio else "median"]
    if target is None or value is None:
        return ""
    bound = (
        f">= {_short(target.least)}" if target.least is not None else f"<= {_short(target.most)}"
    )
    times = " x" if target.of_ratio else ""
    return f"{bound}{times}: {'met' if target.is_met(value) else 'not met'}"


def _short(value: float | None) -> str:
    """Three digits that matter."""
    assert value is not None
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def _machine() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    model = found[1] if found else platform.machine()
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load average {os.getloadavg()[1]:.1f}"
    )
