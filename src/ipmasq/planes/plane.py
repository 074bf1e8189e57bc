"""What every plane offers the gateway's loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ipmasq.core.policy import Claim
from ipmasq.core.side import Side
from ipmasq.wire.packet import Packet

Receive = Callable[[Packet, Side], Sequence[Packet]]
"""Give a packet to the engine; what comes back is to be sent (by the kernel's routing, or as recorded)."""


class LivePlane(Protocol):
    """A plane that moves packets as they come."""

    ttl_delta: int
    """See `ipmasq.core.policy.Policy.ttl_delta`."""

    def open(self) -> None:
        """Take the packets. Raises PlaneError with one clear sentence; then nothing is left behind."""

    def close(self) -> None:
        """Undo everything that `open` and `claim` did. May be called twice."""

    def descriptors(self) -> Sequence[int]:
        """File descriptors to wait for."""

    def claim(self, claims: Sequence[Claim]) -> None:
        """Bring these packets, and no longer others, to the engine although the host owns the address."""

    def pump(self, descriptor: int, receive: Receive, most: int) -> int:
        """`descriptor` is readable: handle up to `most` packets; returns how many there were."""

    def send(self, packet: Packet, side: Side) -> None:
        """Send a packet that the engine made of its own accord, as if it had answered one of `side`."""


class PlaneError(Exception):
    """A plane cannot do its work; the message is for the operator."""
