"""The default path of the control socket, one for each network namespace.

The machine's own network namespace has the plain name. In any other, such as a container's or a lab's, the
name includes the namespace's number, so that commands never reach the gateway of another network.
"""

from __future__ import annotations

import os
from pathlib import Path

USUAL = "/run/ipmasq/control.sock"

USUAL_VIEW = "/run/ipmasq/view.sock"

INITIAL_ONLY = Path("/proc/sys/net/core/netdev_max_backlog")
"""The kernel shows this file in the machine's own network namespace only (net/core/sysctl_net_core.c). All
users may see it, while the number of process 1's namespace is for root."""

OWN = Path("/proc/self/ns/net")


def usual_socket(own: Path = OWN, initial_only: Path = INITIAL_ONLY) -> str:
    """Return the path for the network namespace of this process."""
    return _usual(USUAL, own, initial_only)


def usual_view_socket(own: Path = OWN, initial_only: Path = INITIAL_ONLY) -> str:
    """Return the path of the socket on which nothing can be changed, for this process's network namespace."""
    return _usual(USUAL_VIEW, own, initial_only)


def _usual(path: str, own: Path, initial_only: Path) -> str:
    try:
        number = os.stat(own).st_ino
    except OSError:  # there is no /proc
        return path
    if initial_only.exists():
        return path
    stem, suffix = os.path.splitext(path)
    return f"{stem}-{number}{suffix}"
