"""Engine, plane and loop joined: packets in, packets out, time, and events to whoever listens."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event
from ipmasq.core.offloading import Command
from ipmasq.core.policy import Claim
from ipmasq.gateway import garbage
from ipmasq.gateway.claims import (
    InUse,
    LastingSockets,
    Ranges,
    UnpublishedPorts,
    without_host_ports,
)
from ipmasq.gateway.loop import Loop
from ipmasq.planes.plane import LivePlane, PlaneError
from ipmasq.wire.addresses import Endpoint

T = TypeVar("T")
Listener: TypeAlias = Callable[[Sequence[Event]], object]
Executor: TypeAlias = Callable[[Sequence[Command]], object]

chance = secrets.SystemRandom().randrange
"""The one source of chance."""

BATCH = 64
"""Packets per descriptor and round; at 10 us each, nobody else waits longer than a millisecond or so."""


class Drive:
    def __init__(self, engine: Engine, plane: LivePlane, loop: Loop) -> None:
        self.engine = engine
        self.plane = plane
        self.loop = loop
        self.executors: list[Executor] = []
        """Each carries out the commands that concern it, before the packets of their verdict are sent."""
        self.listeners: list[Listener] = []
        """Told what has happened, after a batch of packets."""
        self._in_use: InUse | None = None
        """At the last look, if there was one."""
        self._lasting = LastingSockets()
        self._ranges = Ranges()
        self._departed = UnpublishedPorts()
        self._claimed: tuple[Claim, ...] = ()

    def start(self) -> None:
        """Raises PlaneError; then nothing is left behind."""
        garbage.disable_full_collections()
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
            self.loop.watch(descriptor, partial(self._receive, descriptor), self.handled)

    def unwatch(self) -> None:
        """Let packets wait, before the plane changes its descriptors."""
        for descriptor in self.plane.descriptors():
            self.loop.unwatch(descriptor)

    def handled(self) -> int:
        """Packets that the engine was given so far, whatever became of them."""
        return sum(self.engine.counts)

    def reserve(self, in_use: InUse) -> None:
        """What the host itself uses by now; to be called now and then, also when that has not changed:
        a port whose mapping has ended is the host's if a socket has it. Raises PlaneError."""
        if in_use != self._in_use:
            self.engine.reserve(in_use)
        self._lasting.follow(in_use if self._in_use is None else in_use & self._in_use)
        self._in_use = in_use
        if self._claimed:
            self.claim()

    def claim(self) -> None:
        """Policy, forwards, mappings or ports in use have changed: tell the plane. Raises PlaneError;
        then the plane goes on as before."""
        policy, ranges = self.engine.policy, self._ranges
        ranges.follow(policy, self._mapped_ports)
        self._lasting.choose(ranges.all)
        self._departed.follow(self.engine.claims(), ranges.all, self.engine.manager)
        wanted = (*self.engine.claims(), *ranges.claims(policy), *self._departed.claims)
        claims = without_host_ports(
            wanted, ranges.all, policy.own, self._lasting.ports, self._is_mapped
        )
        if claims != self._claimed:
            with garbage.collect_new():
                self.plane.claim(claims)
            self._claimed = claims

    def _mapped_ports(self) -> Iterable[int]:
        return (mapping.public.port for mapping in self.engine.table.mappings)

    def _is_mapped(self, protocol: int, public: Endpoint) -> bool:
        return self.engine.table.mappings.at(protocol, public) is not None

    def tell(self) -> None:
        """Pass on what has happened."""
        events = self.engine.events()
        if events:
            self.say(*events)

    def say(self, *events: Event) -> None:
        """Tell every listener, also of what has not happened in the engine."""
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
            except Exception as error:  # the others must hear of it all the same
                self.loop.failures.tell(error, self.loop.clock())

    def _receive(self, descriptor: int) -> None:
        plane, engine, now = self.plane, self.engine, self.loop.clock()
        for _ in range(BATCH):
            came = plane.receive(descriptor)
            if came is None:
                break
            verdict = engine.receive(*came, now)
            if verdict.commands:
                self.carry_out(verdict.commands)
            for packet in verdict.packets:
                plane.send(packet, came[1])
        self._send()

    def _send(self) -> None:
        """What the engine commands and sends of its own accord."""
        if commands := self.engine.commands():
            self.carry_out(commands)
        for packet, side in self.engine.outgoing():
            self.plane.send(packet, side)

    def _between(self, now: float) -> float | None:
        deadline = self.engine.deadline()
        if deadline is not None and deadline <= now:
            self.engine.tick(now)
            deadline = self.engine.deadline()
        self._send()
        self.tell()
        return deadline
