"""The law (DESIGN, 5): the same packets through the engine alone, and through a fast path with an engine
behind it, give the same bytes; and afterwards both engines know the same.

`Two` stands where `Stress` expects an engine: all that happens, happens to both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isclose
from random import Random
from typing import Any, Protocol

from ipmasq.core.engine import Engine
from ipmasq.core.offloading import Command, Offload
from ipmasq.core.side import Side
from ipmasq.core.verdict import Verdict
from ipmasq.offload.offload import Offloader
from ipmasq.planes.fastpath import FlowTable
from ipmasq.wire import ipv4
from ipmasq.wire.checksum import pseudo_header_sum
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import ACK, FIN, PSH, RST, SYN, UDP, URG
from tests.core.stress import POLICY, Choose, Stress

UNIT = 2 * 2**20 / 1e9
"""How exactly the fast path knows when."""


class FastPath(FlowTable, Protocol):
    def forward(
        self, data: bytes, side: int, now: float, partial: bool = False
    ) -> bytes | None: ...

    def inherit(self) -> None:
        """Another process uses the table that this one has filled."""


class Two:
    def __init__(self, fast: FastPath, whim: Random, make: type[Offloader] = Offloader) -> None:
        """`whim` decides what is left out and restated, when reports come, and what is forgotten."""
        self.now = 0.0
        self.alone = Engine(POLICY, Random(1).randrange, 0.0)
        self.helped = Engine(POLICY, Random(1).randrange, 0.0)
        self.fast = fast
        self.offload = make(self.helped, fast, lambda: self.now)
        self.whim = whim
        self._make = make
        self._not_adopted: list[int] | None = None
        """Flows that the present offloader has yet to be told; None when it knows all."""
        self.forwarded = self.restarts = 0
        self.make_partial = False
        self._late: list[int] = []
        """Flows whose `Offload` was left out."""
        self.offload.tick()

    def receive(self, packet: Packet, side: Side, now: float) -> Verdict:
        self._later(now)
        data = bytes(packet.data)
        packet.partial = self._made_partial(packet)
        alone = self.alone.receive(Packet(bytearray(packet.data), packet.partial), side, now)
        sent = self._helped(bytes(packet.data), packet.partial, side, now)
        expected = [bytes(each.data) for each in alone.packets]
        assert sent == expected, f"{data.hex()}: {sent} instead of {expected}"
        if not packet.partial:
            return alone
        return Verdict(alone.reason, ())  # its checksum is not finished: nobody shall look at it

    def _helped(self, data: bytes, partial: bool, side: Side, now: float) -> list[bytes]:
        # A corrupt header is the receiving kernel's to drop; here, it is the engine's.
        header = ipv4.read(data)
        if header is not None and ipv4.is_intact(data, header):
            fast = self.fast.forward(data, side, now, partial)
            if fast is not None:
                self.forwarded += 1
                return [fast[: header.total]]
        verdict = self.helped.receive(Packet(bytearray(data), partial), side, now)
        self._carry_out(verdict.commands)
        return [bytes(each.data) for each in verdict.packets]

    def _made_partial(self, packet: Packet) -> bool:
        """Leave its checksum unfinished, if that is asked for and can be."""
        header = ipv4.read(packet.data)
        offset = {6: 16, 17: 6}.get(header.protocol) if header else None
        if header is None or offset is None or header.is_fragment or not self.make_partial:
            return False
        if header.total < header.length + offset + 2 or header.total != len(packet.data):
            return False
        size = header.total - header.length
        pseudo = pseudo_header_sum(header.source, header.destination, header.protocol, size)
        at = header.length + offset
        packet.data[at : at + 2] = pseudo.to_bytes(2, "big")
        return True

    def _later(self, now: float) -> None:
        self.now = now
        deadline = self.helped.deadline()
        if deadline is not None and deadline <= now:  # as the loop does, before anything else
            self.helped.tick(now)
            self._pass_on()
        self.offload.tick()
        if not self.whim.randrange(20):
            self.offload.read_on()
        if not self.whim.randrange(200) and self.offload.numbers():
            self.offload.withdraw(self.whim.choice(sorted(self.offload.numbers())))

        if self._not_adopted is not None:
            self._adopt()
        elif not self.whim.randrange(100):
            self._restart()

    def _restart(self) -> None:
        """Kill the process that fills the table; the engine's state is restored as it was."""
        self.restarts += 1
        engine = self.helped.manager.offloading
        marks = {flow: engine.marks_of(flow) for flow in self.helped.table.flows}
        self.fast.inherit()
        self.offload = self._make(self.helped, self.fast, lambda: self.now)
        engine.inherited = {flow: known for flow, known in marks.items() if known is not None}
        self.offload.tick()
        self._not_adopted = list(self.helped.table.flows)

    def _adopt(self) -> None:
        """Tell the new offloader some of the flows, and after the last one discard what is left."""
        assert self._not_adopted is not None
        for flow in self._not_adopted[-2:]:
            self.helped.restate(flow)
        del self._not_adopted[-2:]
        self.offload.carry_out(self.helped.commands())
        if not self._not_adopted and not self.offload.discard():
            self._not_adopted = None

    def _pass_on(self) -> None:
        """What the engine commands between packets. A flow may be offloaded late: then it is restated."""
        if self.whim.randrange(3):
            late, self._late = self._late, []
            for flow in late:
                self.helped.restate(flow)
        self._carry_out(self.helped.commands())

    def _carry_out(self, commands: Sequence[Command]) -> None:
        left_out = [
            each for each in commands if isinstance(each, Offload) and not self.whim.randrange(3)
        ]
        self._late += [each.flow for each in left_out]
        self.offload.carry_out([each for each in commands if each not in left_out])
        self.helped.events()

    def tick(self, now: float) -> None:
        self._later(now)
        self.alone.tick(now)
        self.helped.tick(now)
        self._pass_on()

    def deadline(self) -> float | None:
        return self.alone.deadline()

    def events(self) -> None:
        self.alone.events()
        self._pass_on()

    def outgoing(self) -> list[tuple[Packet, Side]]:
        alone, helped = self.alone.outgoing(), self.helped.outgoing()
        sent = [(bytes(packet.data).hex(), side) for packet, side in helped]
        expected = [(bytes(packet.data).hex(), side) for packet, side in alone]
        assert sent == expected, f"{self.now}: {sent} instead of {expected}"
        return alone

    def check(self) -> None:
        self.alone.check()
        self.helped.check()
        while self._not_adopted is not None:  # before that, not all is counted
            self._adopt()
        self.offload.refresh()
        for flow in self.offload.numbers():
            assert self.helped.flow(flow) is not None
        seen = {view.id: view for view in self.helped.flows()}
        for view in self.alone.flows():
            other = seen.pop(view.id)
            assert isclose(view.last_seen, other.last_seen, abs_tol=UNIT), f"{view} and {other}"
            assert isclose(view.expires, other.expires, abs_tol=UNIT), f"{view} and {other}"
            assert _facts(view) == _facts(other), f"{_facts(view)} and {_facts(other)}"
        assert not seen, f"{self.now}: {seen}"
        for flow, mine in self.alone.table.flows.items():
            other = self.helped.table.flows[flow]
            for half, twin in ((mine.original, other.original), (mine.reply, other.reply)):
                assert (half.end, half.acknowledged) == (twin.end, twin.acknowledged)

    def __getattr__(self, name: str) -> Any:
        """Everything else is done to both, with the same answer."""
        mine, other = getattr(self.alone, name), getattr(self.helped, name)
        if not isinstance(mine, Callable):  # type: ignore[arg-type]
            return mine
        if name in (
            "flows",
            "mappings",
            "expectations",
            "helpers",
            "explain",
            "forwards",
            "claims",
        ):
            return mine

        def both(*arguments: Any) -> Any:
            answer = mine(*arguments)
            assert repr(other(*arguments)) == repr(answer)
            self._pass_on()
            return answer

        return both


def _facts(view: Any) -> tuple[Any, ...]:
    names = ("protocol", "inside", "public", "remote", "state", "origin", "helper", "links")
    names += ("packets_out", "bytes_out", "packets_in", "bytes_in", "shift_out", "shift_in")
    return tuple(getattr(view, name) for name in names)


class Doubled(Stress):
    def __init__(self, two: Two) -> None:
        super().__init__()
        self.two = two
        self.engine = two  # type: ignore[assignment]

    @property
    def now(self) -> float:
        """In whole units of the fast path's clock, or both would bury a flow in different seconds."""
        return self._now

    @now.setter
    def now(self, now: float) -> None:
        self._now = round(now / (UNIT / 2)) * (UNIT / 2)

    def traffic(self, choose: Choose) -> None:
        """A packet of an offloadable flow, most of them ordinary ones."""
        offloadable = [flow for flow in self.two.alone.table.flows.values() if flow.offloadable]
        if not offloadable:
            return
        flow = offloadable[choose(len(offloadable))]
        half = (flow.original, flow.reply)[choose(2)]
        key = half.match
        sport, dport = int.from_bytes(key[8:10], "big"), int.from_bytes(key[10:], "big")
        ends = key[:4], sport, key[4:8], dport
        odd = (
            {},
            {"ttl": 1 + choose(255)},
            {"options": b"\1\1\1\0"},
            {"fragment": 0x2000 + choose(3)},
            {"tos": choose(256)},
        )[choose(5) if choose(3) == 0 else 0]
        if flow.protocol == UDP:
            data = packets.udp(*ends, bytes(choose(90)), summed=choose(3) > 0, **odd)
        else:
            flags = (ACK, ACK | PSH, 0, ACK | URG, FIN | ACK, RST | ACK, SYN)[
                choose(7) % (4 + (choose(8) == 0) * 3)
            ]
            near = half.end + choose(3) - 1 if choose(4) else choose(1 << 32)
            options = (b"", bytes((1, 1, 8, 10)) + bytes(8))[choose(2)]
            odd.pop("options", None)
            where = near % 2**32, choose(1 << 32) if choose(2) else half.acknowledged
            data = packets.tcp(*ends, flags, *where, bytes(choose(90)), options, **odd)
        self.receive(data + bytes(choose(3) if choose(9) == 0 else 0), half.side)

    def partial_traffic(self, choose: Choose) -> None:
        """One whose checksum the sender has left to its network card."""
        self.two.make_partial = True
        self.traffic(choose)
        self.two.make_partial = False


EVENTS = (*Stress.EVENTS, Doubled.traffic, Doubled.partial_traffic)


def live(two: Two, seed: int, steps: int) -> Doubled:
    """A life in which mostly packets happen. Raises AssertionError if the law is broken."""
    stress, chance = Doubled(two), Random(seed)
    for step in range(steps):
        kind = chance.randrange(300)
        if kind < len(EVENTS):
            event = EVENTS[kind]
        elif kind % 2:
            event = EVENTS[kind // 2 % 8]
        else:
            event = EVENTS[-1 - (kind % 8 == 0)]
        event(stress, chance.randrange)
        if step % 10 == 0:
            stress.check()
    return stress
