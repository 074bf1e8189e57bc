"""Undoes what a gateway has left that was killed and has no successor."""

from __future__ import annotations

from pathlib import Path

from pyroute2 import IPRoute

from ipmasq.planes.tun.explained import explained
from ipmasq.planes.tun.journal import DIRECTORY, Journal


def undo_leftovers(directory: Path = DIRECTORY) -> int:
    """Undo what a crashed gateway left behind in this network namespace. Return the number of changes.

    Raises PlaneError if a gateway is running here, or something cannot be undone.
    """
    with explained(), IPRoute() as kernel:
        journal = Journal(kernel, directory)
        journal.close()
        return len(journal.leftovers)
