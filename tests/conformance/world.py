"""A gateway between two inside hosts and the outside, in which every packet is looked at twice.

    world = World()
    public = world.udp(IN1, 5000, OUT1, 53).leaves_from(E1)
    world.udp(OUT1, 53, E1, public.port).reaches(IN1, 5000)
    world.later(301)
    world.udp(OUT1, 53, E1, public.port).is_dropped(Why.NO_MAPPING)

After each step the engine recounts itself (`check`), each packet that comes out is read again by an
independent reader (`packets`, and scapy), and none that goes outside may show an inside address (A-37).
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event
from ipmasq.core.offloading import Command
from ipmasq.core.policy import Policy
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.views import FlowView
from ipmasq.wire.addresses import Address, Endpoint, to_address, to_network, to_text
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import Facts

INSIDE = to_network("10.0.0.0/24")
IN1, IN2, GATEWAY = (to_address(f"10.0.0.{n}") for n in (2, 3, 1))
E1, E2 = to_address("203.0.113.1"), to_address("203.0.113.2")
OUT1, OUT2, OFF = (
    to_address("198.51.100.1"),
    to_address("198.51.100.2"),
    to_address("198.51.100.66"),
)
ROUTER = to_address("192.0.2.9")

POLICY = Policy(inside=(INSIDE,), public=(E1,), own=frozenset((GATEWAY, E1)))


class Passage(NamedTuple):
    """The outcome of one packet."""

    reason: Reason
    packets: tuple[Facts, ...]
    answers: tuple[Facts, ...] = ()
    """What its sender was told, if it went nowhere."""

    @property
    def answer(self) -> Facts:
        """All that its sender was told."""
        assert self.reason.is_drop, self.reason.name
        assert len(self.answers) == 1, f"{self.reason.name}: {len(self.answers)} answers"
        return self.answers[0]

    def is_unanswered(self, reason: Reason | None = None) -> None:
        """Nothing went on, for this reason, and its sender was told nothing."""
        self.is_dropped(reason)
        assert not self.answers

    @property
    def one(self) -> Facts:
        assert len(self.packets) == 1, f"{self.reason.name}: {self.reason.sentence}"
        return self.packets[0]

    def leaves_from(self, address: Address) -> Endpoint:
        """It went out by this public address; from which endpoint."""
        assert to_text(self.one.source.address) == to_text(address)
        return self.one.source

    def reaches(self, address: Address, port: int | None = None) -> Facts:
        """It arrived at this host; what it says there."""
        assert to_text(self.one.destination.address) == to_text(address), self.reason.name
        assert port in (None, self.one.destination.port)
        return self.one

    def is_dropped(self, reason: Reason | None = None) -> None:
        """Nothing went on, for this reason."""
        assert not self.packets
        assert self.reason.is_drop, self.reason.name
        assert reason in (None, self.reason), self.reason.name


class World:
    def __init__(self, policy: Policy = POLICY, seed: int = 1, **changes: Any) -> None:
        """`changes`: fields of the policy."""
        self.now = 1000.0
        self.engine = Engine(replace(policy, **changes), Random(seed).randrange, self.now)
        self.happened: list[Event] = []
        self.commands: list[Command] = []
        """Those of the latest verdict."""

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.engine.tick(self.now)
        self._check()

    def change(self, **changes: Any) -> int:
        """Go on under a policy with these fields changed; how many flows that closed."""
        closed = self.engine.apply(replace(self.engine.policy, **changes), self.now)
        self._check()
        return closed

    # -- packets

    def send(self, data: bytes, side: Side | None = None, *, intact: bool = True) -> Passage:
        """`side`: where it comes in, by default where its source is. `intact`: what comes out
        has right checksums (as it has unless it came in corrupt)."""
        if side is None:
            side = Side.INSIDE if data[12:16] in INSIDE else Side.OUTSIDE
        verdict = self.engine.receive(Packet(bytearray(data)), side, self.now)
        sent = [bytes(packet.data) for packet in verdict.packets]
        self.commands = list(verdict.commands)
        self._check()
        if verdict.reason is Reason.HOST or not intact:
            return Passage(verdict.reason, tuple(_unjudged(each) for each in sent))
        facts = tuple(packets.read(each) for each in sent)
        for each in facts:
            packets.agree_with_scapy(each.data)
            if verdict.reason is not Reason.PASSED:
                self._show_no_inside_address(each)
        if not verdict.reason.is_drop:
            return Passage(verdict.reason, facts)
        for each in facts:
            assert (side, each.destination.address) == (Side.INSIDE, data[12:16])
        return Passage(verdict.reason, (), facts)

    def udp(
        self, source: Address, sport: int, destination: Address, dport: int, **rest: Any
    ) -> Passage:
        return self.send(packets.udp(source, sport, destination, dport, **rest))

    def tcp(
        self, source: Address, sport: int, destination: Address, dport: int, flags: int, **rest: Any
    ) -> Passage:
        return self.send(packets.tcp(source, sport, destination, dport, flags, **rest))

    def echo(self, source: Address, destination: Address, identifier: int, **rest: Any) -> Passage:
        return self.send(packets.echo(source, destination, identifier, **rest))

    def reply(self, source: Address, destination: Address, identifier: int) -> Passage:
        return self.send(packets.echo(source, destination, identifier, reply=True))

    def error(
        self,
        source: Address,
        destination: Address,
        kind: int,
        code: int,
        quoted: bytes,
        rest: int = 0,
    ) -> Passage:
        side = Side.INSIDE if source in INSIDE else Side.OUTSIDE
        return self.send(packets.error(source, destination, kind, code, quoted, rest), side)

    # -- what there is

    @property
    def flows(self) -> list[FlowView]:
        return list(self.engine.flows())

    @property
    def flow(self) -> FlowView:
        (flow,) = self.engine.flows()
        return flow

    @property
    def expectations(self) -> int:
        return sum(1 for _ in self.engine.expectations())

    def events(self, *kinds: type[Event]) -> list[Any]:
        """All that have happened so far, of these kinds."""
        self.happened += self.engine.events()
        return [event for event in self.happened if isinstance(event, kinds)]

    def _check(self) -> None:
        self.engine.check()

    @staticmethod
    def _show_no_inside_address(facts: Facts) -> None:
        if facts.destination.address in INSIDE:
            return
        shown = [to_text(a) for a in facts.addresses if a in INSIDE]
        assert not shown, f"{shown} shown outside"


def _unjudged(data: bytes) -> Facts:
    ends = Endpoint(data[12:16], 0), Endpoint(data[16:20], 0)
    return Facts(data, data[9], *ends, data[8], data[20:])
