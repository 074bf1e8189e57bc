"""What `ipmasq status` says of the store of the state."""

from __future__ import annotations

from typing import Any

import pytest

from ipmasq.front.inspect import _group, _state

KEPT = {"path": "/run/ipmasq/state.db", "kept": True, "records": 1234, "bytes": 99999}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({}, "not kept"),
        ({"path": "/x", "kept": False, "trouble": "no disk"}, "not kept: no disk"),
        (
            KEPT | {"restored_flows": 0},
            "kept in /run/ipmasq/state.db: 1,234 records, 99,999 bytes",
        ),
        (
            KEPT | {"records": 1, "bytes": 985, "restored_flows": 0},
            "kept in /run/ipmasq/state.db: 1 record, 985 bytes",
        ),
        (
            KEPT | {"restored_flows": 7},
            "kept in /run/ipmasq/state.db: 1,234 records, 99,999 bytes; flows restored: 7",
        ),
    ],
)
def test_status_says_where_the_state_is_kept_or_why_not(found: dict[str, Any], text: str) -> None:
    assert _state(found) == text


@pytest.mark.parametrize(
    ("group", "text"),
    [
        (
            {"role": "active", "holder": "one"},
            "office: active (ipmasq ha status)",
        ),
        (
            {"role": "standby", "holder": "one"},
            "office: standby, forwards nothing; one is active (ipmasq ha status)",
        ),
        (
            {"role": "waiting", "trouble": "the store does not answer in time"},
            "office: waiting, forwards nothing; the store does not answer in time (ipmasq ha status)",
        ),
        (
            {"role": "active", "serves": ["one", "two"]},
            "office: active for one, two (ipmasq ha status)",
        ),
    ],
)
def test_status_says_whether_a_member_of_a_group_forwards(group: dict[str, Any], text: str) -> None:
    nothing = {"name": "office", "serves": [], "holder": "", "trouble": ""}
    assert _group(nothing | group) == text
