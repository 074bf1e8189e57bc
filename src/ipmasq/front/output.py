"""Printing. Text from packets or files is escaped, so that the terminal never interprets it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from ipmasq.wire.visible import visible


def say(text: str = "") -> None:
    """Print one line."""
    sys.stdout.write(visible(text) + "\n")


NAMES = 19
"""Columns for the names of facts."""


def say_fact(name: str, *texts: object) -> None:
    """Print a fact beside its name, each text from a line of its own on. On a terminal, lines that are longer than it is wide go on
    below, where the text begins."""
    head = name.replace("_", " ")
    for text in texts:
        for line in _lines(visible(str(text))):
            say(f"{head:<{NAMES - 1}} {line}")
            head = ""


def _lines(text: str) -> list[str]:
    if not sys.stdout.isatty():
        return [text]
    import shutil
    import textwrap

    width = max(shutil.get_terminal_size().columns, 2 * NAMES) - NAMES
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def complain(text: str) -> None:
    """Print a message about what went wrong to standard error."""
    sys.stderr.write(f"ipmasq: {visible(text)}\n")


def say_json(value: Any) -> None:
    """Print one JSON value on one line, in ASCII and not escaped any further."""
    sys.stdout.write(json.dumps(value, separators=(", ", ": ")) + "\n")


def say_json_list(rows: Iterable[Any]) -> None:
    """Print one JSON document with a row per line, while the rows arrive."""
    first = True
    for row in rows:
        sys.stdout.write(("[\n " if first else ",\n ") + json.dumps(row))
        first = False
    sys.stdout.write("[]\n" if first else "\n]\n")
