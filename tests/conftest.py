"""Rules for all tests: which rows exist, and how many examples a property tries."""

from __future__ import annotations

import functools
import os
import signal
import tomllib
from pathlib import Path

import pytest
from hypothesis import settings

collect_ignore = ["bench"]

settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile("ci", max_examples=500, deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "quick")

# A shell starts what runs in the background with these ignored, and so would be every process of a test.
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )

# `timeout` and a cancelled CI job send SIGTERM: end as on Ctrl-C, so that fixtures remove what they made, and
# what failed until then is shown.
signal.signal(signal.SIGTERM, signal.default_int_handler)

ROWS = Path(__file__).parent.parent / "docs" / "rows.toml"


@functools.cache
def known_rows() -> frozenset[str]:
    documents = tomllib.loads(ROWS.read_text(encoding="utf-8"))["document"]
    return frozenset(row["id"] for document in documents for row in document["rows"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the soak, which takes longest for its few tests: at the end, one worker would go on with it alone."""
    items.sort(key=lambda item: "soak" not in item.path.parts)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A mark that names no row would show nothing in docs/conformance.md: fail its test."""
    wrong = {row for mark in item.iter_markers("row") for row in mark.args} - known_rows()
    if wrong:
        pytest.fail(f"not in docs/rows.toml: row {', '.join(sorted(wrong))}", pytrace=False)
