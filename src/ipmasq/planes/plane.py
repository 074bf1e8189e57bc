"""What every plane offers the gateway's loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ipmasq.core.policy import Claim
from ipmasq.core.side import Side
from ipmasq.wire.packet import Packet


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

    def receive(self, descriptor: int) -> tuple[Packet, Side] | None:
        """The next packet that has come in by `descriptor`, and on which side; None if none waits. The next call,
        for whatever descriptor, may use its buffer again. Raises PlaneError if no more can ever come."""

    def send(self, packet: Packet, side: Side) -> None:
        """Send a packet (by the kernel's routing, or as recorded) because of one that came in on `side`."""


class PlaneError(Exception):
    """A plane cannot do its work; the message is for the operator."""
