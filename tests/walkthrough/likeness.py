"""Whether what was shown is what a page says, apart from what differs each time: numbers, times, rates, spaces.

Addresses, and ports that the pages choose, are compared. A line `...` of the page stands for any lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

ANY = "..."

SAID_PORTS = r"\d{1,3}|2121|2222|8021|8080"
"""Those that the pages choose. All others are chosen at random."""

MASKS = (
    (re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]"), ""),
    (re.compile(rf"\b\d+\.\d+\.\d+\.\d+(:(?:{SAID_PORTS})\b)?"), None),
    (re.compile(r"\b(?:\d+(?:ms|[dhms]))+\b"), "TIME"),
    (re.compile(r"\d+(?:[.,:]\d+)*[kMGT]?"), "N"),
    (re.compile(r"\s+"), " "),
)
"""What is replaced, in this order. Addresses, and ports that a page chooses, are kept."""


def mask(line: str) -> str:
    """Return a line without what differs from one time to the next."""
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return chr(0xE000 + len(kept) - 1)

    for pattern, text in MASKS:
        line = pattern.sub(keep if text is None else text, line)
    return "".join(kept[ord(c) - 0xE000] if 0xE000 <= ord(c) < 0xF000 else c for c in line).strip()


def is_like(said: Sequence[str], shown: Sequence[str]) -> bool:
    """Return whether `shown` is what the page says."""
    parts = [
        [mask(line) for line in lines]
        for is_any, lines in groupby(said, lambda line: line.strip() == ANY)
        if not is_any
    ]
    actual = [mask(line) for line in shown]
    if ANY not in [line.strip() for line in said]:
        return parts == ([actual] if actual else [])
    if said[0].strip() != ANY and actual[: len(parts[0])] != parts[0]:
        return False
    if said[-1].strip() != ANY and actual[-len(parts[-1]) :] != parts[-1]:
        return False
    at = 0
    for part in parts:
        found = (i for i in range(at, len(actual)) if actual[i : i + len(part)] == part)
        at = next(found, -1)
        if at < 0:
            return False
        at += len(part)
    return True
