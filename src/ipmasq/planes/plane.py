"""The interface of every plane for the gateway's loop."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from ipmasq.core.policy import Claim
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Address
from ipmasq.wire.packet import Packet


class LivePlane(Protocol):
    """A plane that receives and sends packets as they come."""

    ttl_delta: int
    """See `ipmasq.core.policy.Policy.ttl_delta`."""

    def open(self) -> None:
        """Divert packets to this plane. Raises PlaneError with one clear message; then nothing is left
        behind."""

    def close(self) -> None:
        """Undo everything that `open` and `claim` did. May be called twice."""

    def descriptors(self) -> Sequence[int]:
        """File descriptors to wait for."""

    def claim(self, claims: Sequence[Claim], silent: Collection[Address] = ()) -> None:
        """Bring packets of these claims, and no others, to the engine although the host owns the address. ARP
        requests for those addresses that the host does not own are answered, but for `silent` ones."""

    def receive(self, descriptor: int) -> tuple[Packet, Side] | None:
        """Return the next packet that has come in by `descriptor`, and its side; None if none waits. The next
        call, for any descriptor, may reuse its buffer. Raises PlaneError if no more packets can ever come."""

    def send(self, packet: Packet, side: Side) -> None:
        """Send a packet (by the kernel's routing, or as recorded) because of one that came in on `side`."""

    def hand_back(self, packet: Packet, side: Side) -> None:
        """Leave a packet that came in on `side` to the host itself, if possible as if it came in only now."""


class PlaneError(Exception):
    """The plane cannot work. The message is for the operator."""
