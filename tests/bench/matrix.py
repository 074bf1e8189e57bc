"""The figures of the path bench side by side: a line per way, kind of packet and direction, a column per
number of flows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

NAME = re.compile(
    r"path\.(?P<back>back\.)?(?P<way>[^.]+)\.(?P<kind>\w+)\.(?P<flows>\d+)\.(?P<end>pps|limit)"
)


def belongs(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def matrix(entries: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines. Millions of packets a second, and how often what they are compared with; how
    much of a limit is reached has a line of its own."""
    cells: dict[tuple[str, ...], dict[int, str]] = {}
    for entry in entries:
        found = NAME.fullmatch(entry["name"])
        assert found
        limited = found["end"] == "limit"
        way = f"{found['way']} / limit" if limited else found["way"]
        ratio = f"{entry['ratio']:.2f} x" if entry["ratio"] is not None else "?"
        line = cells.setdefault((way, found["kind"], "back" if found["back"] else "out"), {})
        line[int(found["flows"])] = ratio if limited else f"{entry['median'] / 1e6:.2f}, {ratio}"
    kinds = list(dict.fromkeys(at[1:] for at in cells))
    at_hand = sorted(cells, key=lambda at: kinds.index(at[1:]))
    flows = sorted({each for line in cells.values() for each in line})
    titles = ["Mpps", "packets", "direction", *map(_counted, flows)]
    return titles, [[*at, *(cells[at].get(each, "") for each in flows)] for at in at_hand]


def _counted(flows: int) -> str:
    return "1 flow" if flows == 1 else f"{flows:,} flows"
