"""The table of the members of a group."""

from __future__ import annotations

from typing import Any

from ipmasq.front.availability import MEMBERS


def test_of_a_lost_member_nothing_is_shown_that_it_has_said_before() -> None:
    row: dict[str, Any] = {"name": "gw2", "role": "standby", "generation": 2, "complete": True}
    row |= {"lag": 0.001, "refused": 0, "serves": ["one"], "version": "0.1"}
    lost = row | {"name": "gw1", "role": "lost", "complete": None, "lag": None, "serves": []}
    shown = [[column.cell(each) for column in MEMBERS] for each in (row, lost)]
    assert shown == [
        ["gw2", "standby", "2", "complete", "0.001s", "0", "one", "0.1"],
        ["gw1", "lost", "2", "-", "-", "0", "-", "0.1"],
    ]
