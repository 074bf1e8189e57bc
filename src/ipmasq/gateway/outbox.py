"""Holds packets back until what they depend on is written elsewhere, or until that has taken too long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import NamedTuple, TypeAlias

from ipmasq.core.side import Side
from ipmasq.gateway.loop import Loop
from ipmasq.wire.packet import Packet

Send: TypeAlias = Callable[[Packet, Side], object]


class Leaving(NamedTuple):
    """A packet that is to leave."""

    send: Send
    packet: Packet
    side: Side


class _Held(NamedTuple):
    ticket: int
    deadline: float
    leaving: Leaving


class Outbox:
    def __init__(self, loop: Loop, wait: float) -> None:
        """`wait` is for how many seconds a packet is held at most."""
        self.late = 0
        """Packets that left before what they depend on was written."""
        self.held = 0
        """Packets that had to wait."""
        self._loop, self._wait = loop, wait
        self._packets: deque[_Held] = deque()

    def hold(self, ticket: int, packets: Iterable[Leaving]) -> None:
        """Hold packets until the ticket is acknowledged. Their buffers may be used again."""
        deadline = self._loop.clock() + self._wait
        for send, packet, side in packets:
            kept = Packet(bytearray(packet.data), packet.partial, packet.segment, packet.note)
            self._packets.append(_Held(ticket, deadline, Leaving(send, kept, side)))
            self.held += 1
        self._loop.later(self._wait, self._expire)

    def release(self, acknowledged: int) -> None:
        """Send the packets whose tickets are acknowledged."""
        while self._packets and self._packets[0].ticket <= acknowledged:
            self._send()

    def clear(self) -> None:
        """Drop all, since this gateway must not send any more."""
        self._packets.clear()

    def give_up(self, until: float = inf) -> None:
        """Send all, or those that have waited until then: nothing will be acknowledged in time."""
        while self._packets and self._packets[0].deadline <= until:
            self.late += 1
            self._send()

    def _expire(self) -> None:
        self.give_up(self._loop.clock())

    def _send(self) -> None:
        send, packet, side = self._packets.popleft().leaving
        send(packet, side)
