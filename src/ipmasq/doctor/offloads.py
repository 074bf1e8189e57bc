"""Offloads of the interfaces that a router must not use."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from shlex import quote

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

LRO = "large-receive-offload: on"
PATIENCE = 5.0
"""Seconds that ethtool(8) may take."""


def find(host: Host) -> Iterator[Finding]:
    for name in host.own:
        if LRO in features(name):
            yield Finding(
                "offloads",
                f"{name} merges received segments (LRO) in a way that cannot be undone",
                "packets that are forwarded may be larger than their receiver's link takes, and are lost",
                "",
                (f"ethtool -K {quote(name)} lro off",),
                safe=True,
            )


def features(interface: str) -> str:
    """Return what ethtool(8) says; nothing if it is not installed."""
    tool = shutil.which("ethtool", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        return ""
    command = [tool, "-k", interface]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
