"""The role of the running gateway in its group."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.control.role import silence
from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host


def find(host: Host) -> Iterator[Finding]:
    group = (host.status or {}).get("group") or {}
    if trouble := group.get("trouble"):
        yield Finding(
            "group",
            trouble,
            "the members cannot rely on each other, or learn nothing of each other's flows",
            "make the store usable for this member: [ha] of its configuration, docs/two-gateways.md",
        )
    if said := silence((host.status or {}).get("group")):
        yield Finding(
            "group",
            said,
            "packets that reach this host are dropped, and its lists of flows are empty",
            "ask at the member that is active (ipmasq ha status); ipmasq ha active makes this one active",
            is_hint=True,
        )
