"""Says of a member of a group that it forwards nothing, where an answer would lead to think that it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROLES = {
    "standby": "is a standby",
    "waiting": "waits for the lease",
    "fenced": "is fenced, since it may have lost its role,",
}


def silence(group: Mapping[str, Any] | None) -> str:
    """Return a sentence without its full stop; empty of a member that is active, or of a gateway without a group. `group`
    is the field of the status."""
    if not group or group["role"] == "active":
        return ""
    role, holder = group["role"], group["holder"]
    other = f"; {holder} is active" if holder and role == "standby" else ""
    return (
        f"this member of group {group['name']} {ROLES.get(role, role)} and forwards nothing{other}"
    )
