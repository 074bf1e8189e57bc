"""Requests about a group: what they say of its members, and that a gateway that is alone refuses them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from ipmasq.continuity.members import LOST_AFTER, Member
from ipmasq.control.arguments import Nothing
from ipmasq.control.availability import members
from ipmasq.control.client import Client
from ipmasq.control.protocol import Kind
from tests.control.refusals import refusal


@pytest.mark.parametrize("request_", ["ha_active", "ha_standby", "ha_status", "ha_members"])
def test_a_gateway_that_is_alone_has_no_role(client: Client, request_: str):
    refused = refusal(client, request_)
    assert refused.kind is Kind.REFUSED
    assert "belongs to no group" in refused.message


def test_a_lost_member_serves_nothing_and_how_far_it_follows_is_not_known():
    alive = Member("one", "standby", 3, None, 0.0014, True, serves=("one", "two"))
    lost = replace(alive, name="two", age=LOST_AFTER + 1)
    group = SimpleNamespace(members=lambda: [alive, lost])
    context: Any = SimpleNamespace(gateway=SimpleNamespace(availability=group))
    rows = list(members(context, Nothing()))
    assert [
        (row["role"], row["complete"], row["lag"], row["serves"], row["age"]) for row in rows
    ] == [
        ("standby", True, 0.001, ["one", "two"], 0.0),
        ("lost", None, None, [], LOST_AFTER + 1),
    ]
