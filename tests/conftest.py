"""Rules for all tests: which rows exist, and how many examples a property tries."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import settings

collect_ignore = ["bench"]

settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile("ci", max_examples=500, deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "quick")

ROWS = Path(__file__).parent.parent / "docs" / "rows.toml"


def known_rows() -> set[str]:
    documents = tomllib.loads(ROWS.read_text(encoding="utf-8"))["document"]
    return {row["id"] for document in documents for row in document["rows"]}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A mark that names no row would show nothing in docs/conformance.md: refuse it."""
    known = known_rows()
    wrong = sorted(
        f"{item.nodeid}: row {row!r} is not in docs/rows.toml"
        for item in items
        for mark in item.iter_markers("row")
        for row in mark.args
        if row not in known
    )
    if wrong:
        raise pytest.UsageError(*wrong)
