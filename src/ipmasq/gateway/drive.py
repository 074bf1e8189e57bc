"""Engine, plane and loop joined: packets in, packets out, time, and events to whoever listens."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TypeAlias

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event
from ipmasq.core.policy import Claim, Policy, PortRange
from ipmasq.core.side import Side
from ipmasq.gateway.loop import Loop
from ipmasq.planes.plane import LivePlane, PlaneError
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, Endpoint
from ipmasq.wire.packet import Packet

Listener: TypeAlias = Callable[[Sequence[Event]], object]

InUse: TypeAlias = frozenset[tuple[int, int]]
"""(protocol, port) of the host's own sockets."""

IsMapped: TypeAlias = Callable[[int, Endpoint], bool]
"""Whether a public endpoint, of this protocol, stands for an inside one."""

chance = secrets.SystemRandom().randrange
"""The one source of chance."""

BATCH = 64
"""Packets per descriptor and round; at 10 us each, nobody else waits longer than a millisecond or so."""


def left_over(
    claims: Sequence[Claim],
    ranges: Collection[PortRange],
    own: Collection[Address],
    in_use: InUse,
    is_mapped: IsMapped,
) -> tuple[Claim, ...]:
    """The claims without the ports of `ranges` that the host itself uses at an address of its own.

    A port that has a mapping is not left to the host while the mapping lives: any user of the host can
    bind a port, and would read what is sent to somebody else. Nor is a forwarded port: there the
    operator has spoken.
    """
    left: list[Claim] = []
    for claim in claims:
        protocol, address, (low, high) = claim
        if claim.ports in ranges and address in own:
            for used in sorted(p for kind, p in in_use if kind == protocol and p in claim.ports):
                if is_mapped(protocol, Endpoint(address, used)):
                    continue
                if used > low:
                    left.append(Claim(protocol, address, PortRange(low, used - 1)))
                low = used + 1
        if low <= high:
            left.append(Claim(protocol, address, PortRange(low, high)))
    return tuple(left)


class Ranges:
    """The port ranges in which mappings live: the policy's, and former ones until their last mapping ends."""

    def __init__(self) -> None:
        self._former: set[PortRange] = set()
        self._now: set[PortRange] = set()

    def follow(self, policy: Policy, mapped: Callable[[], Iterable[int]]) -> None:
        """`mapped`: the public ports of all mappings. Asked only if the policy's ranges have changed
        and those of before are still waited for."""
        now = {policy.ports} | ({policy.data_ports} if policy.data_ports else set())
        former = (self._former | self._now) - now
        if former:
            ports = set(mapped())
            former = {each for each in former if any(port in each for port in ports)}
        self._now, self._former = now, former

    @property
    def all(self) -> frozenset[PortRange]:
        return frozenset(self._now | self._former)

    def claims(self, policy: Policy) -> tuple[Claim, ...]:
        """What must still come to the engine although the policy does not say so."""
        return tuple(
            Claim(protocol, address, each)
            for each in sorted(self._former)
            for address in policy.public
            for protocol in (ipv4.TCP, ipv4.UDP)
        )


class Drive:
    def __init__(self, engine: Engine, plane: LivePlane, loop: Loop) -> None:
        self.engine = engine
        self.plane = plane
        self.loop = loop
        self.listeners: list[Listener] = []
        self._in_use: InUse = frozenset()
        self._ranges = Ranges()
        self._claimed: tuple[Claim, ...] = ()

    def start(self) -> None:
        """Raises PlaneError; then nothing is left behind."""
        # A full collection walks through all flows, and stands still for it; they need none: the
        # core leaves no cycles behind.
        gc.set_threshold(10_000, 50, 1_000_000)
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
        """What the host itself uses by now; to be called now and then, also when that has not changed:
        a port whose mapping has ended is the host's if a socket has it. Raises PlaneError."""
        if in_use != self._in_use:
            self._in_use = in_use
            self.engine.reserve(in_use)
        if self._claimed:
            self.claim()

    def claim(self) -> None:
        """Policy, forwards, mappings or ports in use have changed: tell the plane. Raises PlaneError;
        then the plane goes on as before."""
        policy, ranges = self.engine.policy, self._ranges
        ranges.follow(policy, self._mapped_ports)
        wanted = (*self.engine.claims(), *ranges.claims(policy))
        claims = left_over(wanted, ranges.all, policy.own, self._in_use, self._is_mapped)
        if claims != self._claimed:
            self.plane.claim(claims)
            self._claimed = claims

    def _mapped_ports(self) -> Iterable[int]:
        return (mapping.public.port for mapping in self.engine.table.mappings())

    def _is_mapped(self, protocol: int, public: Endpoint) -> bool:
        return self.engine.table.mapping_at(protocol, public) is not None

    def tell(self) -> None:
        """Pass on what has happened."""
        events = self.engine.events()
        if events:
            for listener in self.listeners:
                try:
                    listener(events)
                except PlaneError:
                    raise
                except Exception as error:  # the others must hear of it all the same
                    self.loop.troubles.tell(error, self.loop.clock())

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
