"""Whether the running gateway can write its state."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host


def find(host: Host) -> Iterator[Finding]:
    state = (host.status or {}).get("state") or {}
    if not state.get("kept") and (trouble := state.get("trouble")):
        yield Finding(
            "state",
            f"the gateway's state is not kept: {trouble}",
            "connections end with the gateway if it crashes or is restarted, and ipmasq upgrade and ipmasq stop --keep are "
            "refused",
            f"make room for {state['path']}, or let the gateway write there ([state] directory); it keeps the state again as "
            "soon as it can",
            is_hint=True,
        )
