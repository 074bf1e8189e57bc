"""The default path of the control socket, one for each network namespace.

The machine's own network namespace has the plain name. In any other, such as a container's or a lab's, the
name includes the namespace's number, so that commands never reach the gateway of another network.
"""

from __future__ import annotations

import os
from pathlib import Path

USUAL = "/run/ipmasq/control.sock"

INITIAL_ONLY = Path("/proc/sys/net/core/netdev_max_backlog")
"""The kernel shows this file in the machine's own network namespace only (net/core/sysctl_net_core.c). All
users may see it, while the number of process 1's namespace is for root."""

OWN = Path("/proc/self/ns/net")


def usual_socket(own: Path = OWN, initial_only: Path = INITIAL_ONLY) -> str:
    """Return the path for the network namespace of this process."""
    try:
        number = os.stat(own).st_ino
    except OSError:  # there is no /proc
        return USUAL
    if initial_only.exists():
        return USUAL
    stem, suffix = os.path.splitext(USUAL)
    return f"{stem}-{number}{suffix}"
