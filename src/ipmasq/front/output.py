"""Printing. What comes out of packets or out of a file is shown, never obeyed, by the terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|\\(?=x[0-9a-f]{2})")


def plain(text: str) -> str:
    """Control characters (all but tab and newline) as `\\x1b`, so that a payload cannot move cursors."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def say(text: str = "") -> None:
    sys.stdout.write(plain(text) + "\n")


def complain(text: str) -> None:
    """A sentence about what went wrong, to the standard error output."""
    sys.stderr.write(f"ipmasq: {plain(text)}\n")


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
