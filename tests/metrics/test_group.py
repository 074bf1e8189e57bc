"""The metrics of a group of gateways."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from ipmasq.continuity.members import LOST_AFTER, Member
from ipmasq.metrics.group import families


def test_a_silent_member_is_lost_whatever_its_role_was():
    active, standby = Member("one", "active", 3), Member("two", "standby", 3)
    lost = replace(active, name="three", age=LOST_AFTER + 1)
    group: Any = SimpleNamespace(
        servings=(),
        members=lambda: [active, standby, lost],
        trouble="",
        refused=Counter[str](),
        silenced=0,
    )
    (members,) = (each for each in families(group) if each.name == "ipmasq_ha_members")
    found = {sample.labels["role"]: sample.value for sample in members.samples}
    assert {role: value for role, value in found.items() if value} == {
        "active": 1,
        "standby": 1,
        "lost": 1,
    }
