"""Printing. What comes out of packets or out of a file is shown, never obeyed, by the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from ipmasq.wire.visible import visible


def say(text: str = "") -> None:
    """One line."""
    sys.stdout.write(visible(text) + "\n")


def complain(text: str) -> None:
    """A sentence about what went wrong, to the standard error output."""
    sys.stderr.write(f"ipmasq: {visible(text)}\n")


def say_json(value: Any) -> None:
    """One JSON value on one line. ASCII, as it came."""
    sys.stdout.write(json.dumps(value, separators=(", ", ": ")) + "\n")


def say_json_list(rows: Iterable[Any]) -> None:
    """One JSON document, a row a line, written while the rows come."""
    first = True
    for row in rows:
        sys.stdout.write(("[\n " if first else ",\n ") + json.dumps(row))
        first = False
    sys.stdout.write("[]\n" if first else "\n]\n")
