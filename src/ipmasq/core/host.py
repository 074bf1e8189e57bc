"""What the engine asks about the host that it runs on."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias

from ipmasq.wire.addresses import Endpoint


class Holds(IntEnum):
    """What a packet would find at the host if it were the host's."""

    NOTHING = 0
    """No socket."""
    SOCKET = 1
    """One that takes packets from anybody."""
    SPEAKER = 2
    """One that speaks with exactly the remote endpoint that the packet comes from."""


HostHolds: TypeAlias = Callable[[int, Endpoint, Endpoint], Holds]
"""Of a packet of this protocol (TCP or UDP) from the first endpoint to the second, which is an address of the
host's own. Asked at the moment when it matters, so the answer is never old."""


def nothing(protocol: int, remote: Endpoint, local: Endpoint) -> Holds:
    """Of a host that has no sockets: the answer for engines that run on none."""
    return Holds.NOTHING


class HostPorts:
    """What the host itself uses of the ports at its addresses."""

    def __init__(self) -> None:
        self.reserved: frozenset[tuple[int, int]] = frozenset()
        """`(protocol, port)` that are left to it, so that no packet to them comes to the engine: never given out."""
        self.holds: HostHolds = nothing
