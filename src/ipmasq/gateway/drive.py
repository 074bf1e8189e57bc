"""Connects engine, plane and loop: packets in, packets out, time, and events for listeners."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from typing import TypeAlias, TypeVar

from ipmasq.core.claims import given_out
from ipmasq.core.engine import Engine
from ipmasq.core.events import Event
from ipmasq.core.offloading import Command
from ipmasq.core.policy import Claim, PortRange
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.verdict import Verdict
from ipmasq.gateway import garbage
from ipmasq.gateway.claims import (
    InUse,
    LastingSockets,
    Ranges,
    UnpublishedPorts,
    without_host_ports,
)
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.outbox import Leaving
from ipmasq.planes.plane import LivePlane, PlaneError
from ipmasq.wire.addresses import Address, Endpoint
from ipmasq.wire.packet import Packet

T = TypeVar("T")
Listener: TypeAlias = Callable[[Sequence[Event]], object]
Receive: TypeAlias = Callable[[Packet, Side, float], Verdict]
Executor: TypeAlias = Callable[[Sequence[Command]], object]
WriteAhead: TypeAlias = Callable[[Sequence[Leaving]], bool]
"""Takes packets, to be sent later, or returns False."""

chance = secrets.SystemRandom().randrange
"""The one source of randomness."""

BATCH = 64
"""Packets per descriptor and round; at 10 us each, others wait about a millisecond at most."""


class Drive:
    def __init__(self, engine: Engine, plane: LivePlane, loop: Loop) -> None:
        self.engine = engine
        self.plane = plane
        self.loop = loop
        self.receive: Receive = engine.receive
        """The engine's `receive`, or what calls it in order to measure it."""
        self.executors: list[Executor] = []
        """Each carries out the commands that concern it, before the packets of their verdict are sent."""
        self.listeners: list[Listener] = []
        """Called with events after a batch of packets."""
        self.until = inf
        """Packets that come in from this moment on are dropped: another gateway may forward."""
        self.silenced = 0
        """Packets that were dropped because of that."""
        self.write_ahead: WriteAhead | None = None
        """Takes packets that must not leave before something is written."""
        self.answers = True
        """Whether ARP requests for claimed addresses are answered that the host does not own."""
        self._in_use: InUse | None = None
        """The ports in use at the last look, if there was one."""
        self._lasting = LastingSockets()
        self._ranges = Ranges()
        self._departed = UnpublishedPorts()
        self._claimed: tuple[tuple[Claim, ...], frozenset[Address]] = (), frozenset()

    def start(self) -> None:
        """Raises PlaneError; then nothing is left behind."""
        garbage.disable_full_collections()
        self.open()
        self.loop.between(self._between)

    def open(self) -> None:
        """Raises PlaneError; then nothing is left behind."""
        self.plane.open()
        try:
            self.claim()
        except BaseException:
            self.plane.close()
            raise
        self.watch()

    def reopen(self, open_anew: Callable[[], None]) -> None:
        """Open the plane anew, while packets wait. Raises PlaneError."""
        self.unwatch()
        open_anew()
        self._claimed = (), frozenset()
        self.claim()
        self.watch()

    def stop(self, leave: Callable[[], None] | None = None) -> None:
        """Close the plane, or `leave` it to a successor. Raises PlaneError if something could not be undone."""
        self.unwatch()
        (leave or self.plane.close)()
        self.publish()

    def watch(self) -> None:
        """Register for packets, also after the plane has changed its descriptors."""
        for descriptor in self.plane.descriptors():
            self.loop.watch(descriptor, partial(self._receive, descriptor), self.handled)

    def unwatch(self) -> None:
        """Unregister, so that packets wait while the plane changes its descriptors."""
        for descriptor in self.plane.descriptors():
            self.loop.unwatch(descriptor)

    def handled(self) -> int:
        """The number of packets that the engine was given so far."""
        return sum(self.engine.counts)

    @property
    def ranges(self) -> frozenset[PortRange]:
        """The port ranges in which mappings are or will be."""
        return self._ranges.all.union(given_out(self.engine.policy))

    def leave(self, in_use: InUse) -> None:
        """Set the ports of `ranges` that the host itself uses now. To be called periodically, also when they have
        not changed, since a port whose mapping has ended belongs to the host if a socket has it. Raises
        PlaneError."""
        self._lasting.follow(in_use if self._in_use is None else in_use & self._in_use)
        self._in_use = in_use
        if self._claimed[0]:
            self.claim()

    def claim(self) -> None:
        """Give the plane its claims after policy, forwards, mappings or ports in use have changed. Raises
        PlaneError; then the plane continues as before."""
        policy, ranges = self.engine.policy, self._ranges
        ranges.follow(policy, self._mapped_ports)
        self._lasting.choose(ranges.all)
        self.engine.reserve(self._lasting.ports)
        claimed = self.engine.claims()
        self._departed.follow(claimed, ranges.all, self.engine.manager)
        wanted = (*claimed, *ranges.claims(policy), *self._departed.claims)
        claims = without_host_ports(
            wanted, ranges.all, policy.own, self._lasting.ports, self._is_mapped
        )
        silent = policy.elsewhere if self.answers else (*policy.public, *policy.elsewhere)
        if (claims, frozenset(silent)) != self._claimed:
            with garbage.collect_new():
                self.plane.claim(claims, silent)
            self._claimed = claims, frozenset(silent)

    def _mapped_ports(self) -> Iterable[int]:
        return (mapping.public.port for mapping in self.engine.table.mappings)

    def _is_mapped(self, protocol: int, public: Endpoint) -> bool:
        return self.engine.table.mappings.at(protocol, public) is not None

    def publish(self) -> None:
        """Publish the engine's events."""
        events = self.engine.events()
        if events:
            self.say(*events)

    def say(self, *events: Event) -> None:
        """Publish events to every listener, also those that did not come from the engine."""
        self._pass_on(events, self.listeners)

    def carry_out(self, commands: Sequence[Command]) -> None:
        self._pass_on(commands, self.executors)

    def _pass_on(
        self, values: Sequence[T], receivers: Iterable[Callable[[Sequence[T]], object]]
    ) -> None:
        for receiver in receivers:
            try:
                receiver(values)
            except PlaneError:
                raise
            except Exception as error:  # the other listeners must be called all the same
                self.loop.failures.report(error, self.loop.clock())

    def _receive(self, descriptor: int) -> None:
        plane, receive, now = self.plane, self.receive, self.loop.clock()
        if now >= self.until:
            self._silence(descriptor)
            return
        for _ in range(BATCH):
            came = plane.receive(descriptor)
            if came is None:
                break
            verdict = receive(*came, now)
            if verdict.commands:
                self.carry_out(verdict.commands)
            send = plane.hand_back if verdict.reason is Reason.HOST else plane.send
            if self.write_ahead is not None and self.engine.has_dependent_changes:
                own = self._own()  # they may depend on these changes, too
                self._leave([*own, *(Leaving(send, each, came[1]) for each in verdict.packets)])
                continue
            for packet in verdict.packets:
                send(packet, came[1])
        self._send(now)

    def _silence(self, descriptor: int) -> None:
        """Drop packets that wait."""
        for _ in range(BATCH):
            if self.plane.receive(descriptor) is None:
                break
            self.silenced += 1

    def _send(self, now: float) -> None:
        """Carry out the engine's pending commands, and send its own packets."""
        if commands := self.engine.commands():
            self.carry_out(commands)
        own = self._own()
        if own and now < self.until:
            self._leave(own)

    def _own(self) -> list[Leaving]:
        return [Leaving(self.plane.send, *each) for each in self.engine.outgoing()]

    def _leave(self, packets: Sequence[Leaving]) -> None:
        """Send packets at once, or all of them when what any depends on is written."""
        if self.write_ahead is None or not self.write_ahead(packets):
            for send, packet, side in packets:
                send(packet, side)

    def _between(self, now: float) -> float | None:
        deadline = self.engine.deadline()
        if deadline is not None and deadline <= now:
            self.engine.tick(now)
            deadline = self.engine.deadline()
        self._send(now)
        self.publish()
        return deadline
