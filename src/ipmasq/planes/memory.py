"""A plane without a network, for tests: each side is a queue."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Sequence

from ipmasq.core.policy import Claim
from ipmasq.core.side import Side
from ipmasq.planes.plane import PlaneError
from ipmasq.wire.addresses import Address, Network, within
from ipmasq.wire.packet import Buffer, Packet


class MemoryPlane:
    """A LivePlane. Tests deliver packets to it like hosts, and collect them like hosts.

    It routes like the kernel: packets to one of the `inside` networks go there, all others outside.
    """

    ttl_delta = -1

    def __init__(self, inside: Sequence[Network]) -> None:
        self.claims: tuple[Claim, ...] = ()
        self._inside = tuple(inside)
        self._arrived: dict[Side, deque[Packet]] = {side: deque() for side in Side}
        self._sent: dict[Side, list[Packet]] = {side: [] for side in Side}
        self._descriptors: dict[int, Side] = {}
        self._lent: Buffer = bytearray()

    # -- the hosts' end

    def deliver(self, packet: Packet | bytes, side: Side) -> None:
        """Send `packet`, which is copied, from a host of `side`. Raises PlaneError unless open."""
        packet = _copy(packet if isinstance(packet, Packet) else Packet(bytearray(packet)))
        for descriptor, where in self._descriptors.items():
            if where is side:
                self._arrived[side].append(packet)
                os.eventfd_write(descriptor, 1)
                return
        raise PlaneError("the plane is not open")

    def collect(self, side: Side) -> list[Packet]:
        """Return what was sent to hosts of `side` since the last call."""
        sent, self._sent[side] = self._sent[side], []
        return sent

    # -- the gateway's end

    def open(self) -> None:
        for side in Side:
            self._descriptors[os.eventfd(0, os.EFD_NONBLOCK | os.EFD_SEMAPHORE)] = side

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def descriptors(self) -> Sequence[int]:
        return tuple(self._descriptors)

    def claim(self, claims: Sequence[Claim], silent: Collection[Address] = ()) -> None:
        self.claims = tuple(claims)

    def receive(self, descriptor: int) -> tuple[Packet, Side] | None:
        # Reuse the previous buffer like a real plane, so that keeping it is noticed.
        self._lent[:] = bytes(len(self._lent))
        side = self._descriptors[descriptor]
        if not self._arrived[side]:
            return None
        os.eventfd_read(descriptor)
        packet = self._arrived[side].popleft()
        self._lent = packet.data
        return packet, side

    def send(self, packet: Packet, side: Side) -> None:
        destination = bytes(packet.data[16:20])
        inside = within(destination, self._inside)
        self._sent[Side.INSIDE if inside else Side.OUTSIDE].append(_copy(packet))

    def hand_back(self, packet: Packet, side: Side) -> None:
        self.send(packet, side)


def _copy(packet: Packet) -> Packet:
    return Packet(bytearray(packet.data), packet.partial, packet.segment, packet.note)
