"""Write docs/conformance.md: row by row, what holds and which test says so.

The rows are those of docs/rows.toml, the tests those that carry `@pytest.mark.row(...)`. With --check
nothing is written; the exit code says whether the committed page is current.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parent.parent
ROWS = TOP / "docs" / "rows.toml"
PAGE = TOP / "docs" / "conformance.md"

HEAD = """\
# Conformance

Made by `make docs` from [rows.toml](rows.toml) and the tests; do not edit.

Each row is one thing that a standard asks of a gateway, or one attack that must fail, in our own words
(the standard is the authority). *Tier* 1 is needed for a first release, 2 before it is a general gateway,
3 is for carriers or optional. A row **holds** when tests carry its id (`make test` runs them all). *Where* says
on what it was shown: the *engine* alone, a *program* of the fast path in the kernel, the *model* of one beside the engine,
or *live*, packets of real hosts in network namespaces through a running gateway.

| document | rows | holds | in part | not yet | not in this release | not applicable |
|---|--:|--:|--:|--:|--:|--:|
"""
STATES = ("holds", "in part", "not yet", "not in this release", "not applicable")


class Collector:
    """A pytest plugin that notes which tests carry which rows."""

    def __init__(self) -> None:
        self.tests: dict[str, set[str]] = {}
        self.where_shown: dict[str, set[str]] = {}
        """Where each row was shown."""
        self.failing: set[str] = set()
        """Rows of which a test is known to fail (xfail)."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for row in {row for mark in item.iter_markers("row") for row in mark.args}:
                self.tests.setdefault(row, set()).add(item.nodeid.partition("[")[0])
                self.where_shown.setdefault(row, set()).add(where_shown(item))
                if item.get_closest_marker("xfail"):
                    self.failing.add(row)


PLACES = ("engine", "model", "program", "live")


def where_shown(item: pytest.Item) -> str:
    """One of PLACES, by what a test needs and where its file is."""
    if item.nodeid.startswith("tests/planes/ebpf/"):
        return "program"
    if item.get_closest_marker("live"):
        return "live"
    return "model" if item.nodeid.startswith("tests/offload/") else "engine"


def collect() -> Collector:
    """Ask pytest for the tests without running them. Exits if they cannot be collected."""
    collector, output = Collector(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = pytest.main(
            ["--collect-only", "-p", "no:cacheprovider", f"--rootdir={TOP}", str(TOP / "tests")],
            plugins=[collector],
        )
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        sys.exit(f"The tests cannot be collected:\n{output.getvalue()}")
    return collector


def state(row: dict[str, Any], collector: Collector) -> str:
    """One of STATES: what a row's status says, and what the tests say, put together."""
    status = row.get("status", "").partition(":")[0]
    if row["id"] not in collector.tests:
        return "not yet" if status == "in part" else status or "not yet"
    return "in part" if status or row["id"] in collector.failing else "holds"


def witnesses(row: dict[str, Any], collector: Collector) -> str:
    """The last cell: the tests that show a row, or why there is none."""
    reason = row.get("status", "").partition(":")[2].strip()
    tests = sorted(collector.tests.get(row["id"], ()))
    links = [f"[{name}](../{path})" for path, _, name in (test.partition("::") for test in tests)]
    return "<br>".join([*([reason] if reason else []), *links])


def section(document: dict[str, Any], collector: Collector) -> str:
    lines = [
        f"\n## {document['title']}\n",
        "| row | level | tier | what it asks | | where | shown by |",
        "|---|---|--:|---|---|---|---|",
    ]
    for row in document["rows"]:
        found = state(row, collector)
        cells = (
            row["id"],
            row.get("level", ""),
            str(row.get("tier", "")),
            row["says"].replace("|", "\\|"),
            f"**{found}**" if found == "holds" else found,
            ", ".join(sorted(collector.where_shown.get(row["id"], ()), key=PLACES.index)),
            witnesses(row, collector),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page(collector: Collector) -> str:
    documents = tomllib.loads(ROWS.read_text(encoding="utf-8"))["document"]
    unknown = set(collector.tests) - {row["id"] for d in documents for row in d["rows"]}
    if unknown:
        sys.exit(f"Tests carry rows that are not in docs/rows.toml: {', '.join(sorted(unknown))}")
    counts = {d["title"]: Counter(state(row, collector) for row in d["rows"]) for d in documents}
    total = sum(counts.values(), Counter[str]())
    lines = [
        f"| {title} | {count.total()} | " + " | ".join(str(count[s]) for s in STATES) + " |\n"
        for title, count in [*counts.items(), ("**all**", total)]
    ]
    return HEAD + "".join(lines) + "".join(section(d, collector) for d in documents)


def main() -> None:
    made = page(collect())
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(made, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made:
        sys.exit("docs/conformance.md is not current: run `make docs` and commit it.")


if __name__ == "__main__":
    main()
