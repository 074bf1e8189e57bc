"""The tables as an image for the README."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from demo import report
from demo.runner import KilledResult, LinkResult, Result

WIDTH = 108

FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def draw(
    path: Path,
    results: Sequence[Result],
    links: Sequence[LinkResult],
    killed: Sequence[KilledResult],
) -> None:
    """Write the tables to `path` as SVG, without fonts from elsewhere: a page that shows the image loads nothing from
    other hosts."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    report.show(console, results, links, killed)
    path.write_text(FONTS.sub("", console.export_svg(title="make demo")), encoding="utf-8")
