"""`python -m tests.bench`: run the benches, print a table, write `build/bench.json`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.bench import (
    bulk,
    commands,
    engine_new,
    engine_scale,
    engine_speed,
    failover,
    fast_flows,
    fast_memory,
    flow_memory,
    ftp_bulk,
    ftp_latency,
    latency,
    new,
    path,
    pauses,
    restore,
    scraped,
    start,
    takeover,
    tun,
    views,
)
from tests.bench.figures import Figure, chosen
from tests.bench.report import as_json, as_markdown, as_tables

PARTS = (
    *(engine_speed, engine_new, flow_memory, engine_scale),
    *(path, fast_flows, fast_memory, bulk, ftp_bulk, tun, ftp_latency, latency, new),
    *(start, commands, scraped, views, restore, pauses, failover, takeover),
)
"""Whatever is imported here has entered its benches."""

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs/performance.md"
WIDTH = 150
"""Columns of the table in a file or a pipe."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="e.g. engine")
    parser.add_argument("--runs", type=int, default=5, help="runs of each bench (default: 5)")
    parser.add_argument("--json", type=Path, default=ROOT / "build/bench.json", metavar="FILE")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    # A polite end, so that namespaces and processes go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    figures: list[Figure] = []
    started = time.monotonic()
    benches = chosen(options.only)
    if not benches:
        parser.error(f"there is no bench {', '.join(options.only)}")
    for name, function in benches.items():
        console.print(f"[dim]{time.monotonic() - started:5.0f} s  {name} ...[/dim]", soft_wrap=True)
        figures.extend(function(options.runs))
    for table in as_tables(figures):
        console.print(table)
    console.print(f"{time.monotonic() - started:.0f} s")
    options.json.parent.mkdir(exist_ok=True)
    options.json.write_text(as_json(figures))
    if options.write_docs:
        DOCS.write_text(as_markdown(figures, DOCS.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
