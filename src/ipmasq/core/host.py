"""What the engine asks about the host on which it runs."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias

from ipmasq.wire.addresses import Endpoint


class SocketMatch(IntEnum):
    """Which socket of the host would receive a packet."""

    NONE = 0
    """No socket."""
    ANY_REMOTE = 1
    """A socket that accepts packets from any remote endpoint."""
    CONNECTED = 2
    """A socket that is connected to exactly the remote endpoint of the packet."""


SocketLookup: TypeAlias = Callable[[int, Endpoint, Endpoint], SocketMatch]
"""A function that looks up the socket for a packet of this protocol (TCP or UDP) from the first endpoint to
the second, an address of the host. It is called whenever the answer is needed, so the answer is never
outdated."""


def no_socket(protocol: int, remote: Endpoint, local: Endpoint) -> SocketMatch:
    """The answer for engines that run on no host."""
    return SocketMatch.NONE


class HostPorts:
    """The ports at the host's addresses that the host itself uses."""

    def __init__(self) -> None:
        self.reserved: frozenset[tuple[int, int]] = frozenset()
        """`(protocol, port)` whose packets are left to the host and do not come to the engine; such ports are
        never allocated."""
        self.find_socket: SocketLookup = no_socket
