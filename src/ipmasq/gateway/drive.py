"""Engine, plane and loop joined: packets in, packets out, time, and events to whoever listens."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event
from ipmasq.core.policy import Claim, Policy, PortRange
from ipmasq.core.side import Side
from ipmasq.gateway import garbage
from ipmasq.gateway.loop import Loop
from ipmasq.planes.plane import LivePlane
from ipmasq.wire.packet import Packet

Listener: TypeAlias = Callable[[Sequence[Event]], object]

InUse: TypeAlias = frozenset[tuple[int, int]]
"""(protocol, port) of the host's own sockets."""

chance = secrets.SystemRandom().randrange
"""The one source of chance."""

BATCH = 64
"""Packets per descriptor and round; at 10 us each, nobody else waits longer than a millisecond or so."""


def left_over(claims: Sequence[Claim], policy: Policy, in_use: InUse) -> tuple[Claim, ...]:
    """The claims without the ports that the host itself uses in the midst of the range.

    The engine would hand such packets back, but the kernel never lets it have them: it finds the
    host's connection before it looks for a route, and then refuses to forward (`ip_early_demux`).
    Forwarded ports are not left to the host: there the operator has spoken.
    """
    left: list[Claim] = []
    for claim in claims:
        protocol, address, (low, high) = claim
        if claim.ports in (policy.ports, policy.data_ports) and address in policy.own:
            for used in sorted(p for kind, p in in_use if kind == protocol and p in claim.ports):
                if used > low:
                    left.append(Claim(protocol, address, PortRange(low, used - 1)))
                low = used + 1
        if low <= high:
            left.append(Claim(protocol, address, PortRange(low, high)))
    return tuple(left)


class Drive:
    def __init__(self, engine: Engine, plane: LivePlane, loop: Loop) -> None:
        self.engine = engine
        self.plane = plane
        self.loop = loop
        self.listeners: list[Listener] = []
        self._in_use: InUse = frozenset()
        self._claimed: tuple[Claim, ...] = ()

    def start(self) -> None:
        """Raises PlaneError; then nothing is left behind."""
        garbage.rarely()
        self.plane.open()
        try:
            self.claim()
        except BaseException:
            self.plane.close()
            raise
        self.watch()
        self.loop.between(self._between)

    def stop(self) -> None:
        """Raises PlaneError if something could not be undone."""
        self.unwatch()
        self.plane.close()
        self.tell()

    def watch(self) -> None:
        """Take packets; also after the plane has changed its descriptors."""
        for descriptor in self.plane.descriptors():
            self.loop.watch(descriptor, partial(self._pump, descriptor))

    def unwatch(self) -> None:
        """Let packets wait, before the plane changes its descriptors."""
        for descriptor in self.plane.descriptors():
            self.loop.unwatch(descriptor)

    def reserve(self, in_use: InUse) -> None:
        """What the host itself uses by now. Raises PlaneError."""
        if in_use != self._in_use:
            self._in_use = in_use
            self.engine.reserve(in_use)
            if self._claimed:
                self.claim()

    def claim(self) -> None:
        """Policy, forwards or ports in use have changed: tell the plane. Raises PlaneError; then the
        plane goes on as before."""
        claims = left_over(self.engine.claims(), self.engine.policy, self._in_use)
        if claims != self._claimed:
            with garbage.of_this():
                self.plane.claim(claims)
            self._claimed = claims

    def tell(self) -> None:
        """Pass on what has happened."""
        events = self.engine.events()
        if events:
            for listener in self.listeners:
                listener(events)

    def _pump(self, descriptor: int) -> None:
        engine_receive, now = self.engine.receive, self.loop.clock()

        def receive(packet: Packet, side: Side) -> Sequence[Packet]:
            packets = engine_receive(packet, side, now).packets
            if self.engine.is_pressing:
                self.tell()
            return packets

        self.plane.pump(descriptor, receive, BATCH)
        self._send()

    def _send(self) -> None:
        """What the engine sends of its own accord."""
        for packet, side in self.engine.outgoing():
            self.plane.send(packet, side)

    def _between(self, now: float) -> float | None:
        deadline = self.engine.deadline()
        if deadline is not None and deadline <= now:
            self.engine.tick(now)
            self._send()
            deadline = self.engine.deadline()
        self.tell()
        return deadline
