"""The figures as a table, as JSON, and in the documentation."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.bench.figures import TARGETS, Figure

BEGIN, END = "<!-- begin: python -m tests.bench --write-docs -->", "<!-- end -->"
HEADINGS = ("figure", "unit", "median", "min", "max", "ratio", "target")


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


def as_table(figures: Sequence[Figure]) -> Table:
    table = Table()
    table.add_column(HEADINGS[0], no_wrap=True)
    table.add_column(HEADINGS[1])
    for heading in HEADINGS[2:5]:
        table.add_column(heading, justify="right")
    for heading in HEADINGS[5:]:
        table.add_column(heading)
    for row in _rows(figures):
        style = "red" if row[-1].endswith("not met") else None
        table.add_row(*row, style=style)
    return table


def as_markdown(figures: Sequence[Figure], page: str) -> str:
    """The page with the table in it renewed."""
    lines = [
        f"{_machine()}, {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---|---|---:|---:|---:|---|---|",
        *("| " + " | ".join((f"`{row[0]}`", *row[1:])) + " |" for row in _rows(figures)),
    ]
    text = "\n".join((BEGIN, "", *lines, "", END))
    return re.sub(re.escape(BEGIN) + ".*" + re.escape(END), lambda _: text, page, flags=re.DOTALL)


def _rows(figures: Sequence[Figure]) -> Iterator[tuple[str, ...]]:
    for each in entries(figures):
        ratio = (
            f"{each['ratio']:.2f} x {_common(each['name'], each['ratio_to'])}"
            if each["ratio"] is not None
            else ""
        )
        numbers = (_short(each[key]) for key in ("median", "min", "max"))
        yield (each["name"], each["unit"], *numbers, ratio, _target(each["name"], each["median"]))


def _common(name: str, other: str) -> str:
    """The other's name, without what both end with."""
    _, _, rest = name.partition(".")
    beginning, _, end = other.partition(".")
    return beginning if rest == end and name != other else other


def _target(name: str, value: float) -> str:
    target = TARGETS.get(name)
    if target is None:
        return ""
    bound = (
        f">= {_short(target.least)}" if target.least is not None else f"<= {_short(target.most)}"
    )
    return f"{bound}: {'met' if target.is_met(value) else 'not met'}"


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
