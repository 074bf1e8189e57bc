"""The fast path knows where in its stream a speaker is, also when the engine has heard it last."""

from __future__ import annotations

from random import Random

from ipmasq.core.engine import Engine
from ipmasq.core.offloading import Move
from ipmasq.core.side import Side
from ipmasq.core.verdict import Verdict
from ipmasq.offload.offload import Offloader
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import ACK, SYN, TCP
from tests.core.stress import INNER, OUTER, POLICY
from tests.planes.ebpf.model import Model

OPTIONS = b"\1\1\1\0"
"""With these in its IP header, a packet is the engine's."""
STEP, STEPS = 1000, 200
"""More bytes in all than a segment may be ahead."""


class Conversation:
    """A connection from inside that is offloaded, on a fast path before an engine."""

    def __init__(self) -> None:
        self.now = 1.0
        self.engine = Engine(POLICY, Random(1).randrange, 0.0)
        self.path = Model()
        self.offload = Offloader(self.engine, self.path, lambda: self.now)
        self.offload.tick()
        self.ends = INNER[0], 5000, OUTER[0], 80
        [opened] = self.up(packets.tcp(*self.ends, SYN, 1000), Side.INSIDE)
        out = packets.read(opened)
        to = out.source.address, out.source.port
        self.up(packets.tcp(OUTER[0], 80, *to, SYN | ACK, 9000, 1001), Side.OUTSIDE)
        self.said = 1001

    def up(self, data: bytes, side: Side) -> list[bytes]:
        """By the engine."""
        verdict = self.considered(data, side)
        self.offload.carry_out(verdict.commands)
        return [bytes(each.data) for each in verdict.packets]

    def considered(self, data: bytes, side: Side) -> Verdict:
        """What the engine says, with nothing carried out yet."""
        return self.engine.receive(Packet(bytearray(data)), side, self.now)

    def segment(self, options: bytes = b"") -> bytes:
        """The client's next one."""
        plain = packets.tcp(*self.ends, ACK, self.said, 9001, bytes(STEP))
        self.said += STEP
        return packets.ip(INNER[0], OUTER[0], TCP, plain[20:], options=options)

    @property
    def known(self) -> int:
        """The end of what the client said, as the fast path has it."""
        [flow] = self.offload.numbers()
        return self.path.position(self.offload._entries[flow].original) >> 32


def test_what_the_engine_has_heard_meanwhile_the_fast_path_knows() -> None:
    talk = Conversation()
    assert talk.known == 1001
    for _ in range(STEPS):
        odd = talk.segment(OPTIONS)
        assert talk.path.forward(odd, Side.INSIDE, talk.now) is None
        assert talk.up(odd, Side.INSIDE)
    talk.offload.tick()
    assert talk.known == talk.said
    talk.now += 5
    talk.offload.tick()
    assert talk.path.forward(talk.segment(), Side.INSIDE, talk.now) is not None
    talk.offload.refresh()
    [flow] = talk.engine.table.flows.values()
    assert flow.original.end == talk.said
    assert flow.last_seen > talk.now - 1


def test_what_has_gone_by_since_the_engine_asked_is_newer_than_what_it_heard() -> None:
    talk = Conversation()
    verdict = talk.considered(talk.segment(OPTIONS), Side.INSIDE)
    assert [type(each) for each in verdict.commands] == [Move]
    for _ in range(STEPS):
        assert talk.path.forward(talk.segment(), Side.INSIDE, talk.now) is not None
    assert talk.known == talk.said
    talk.offload.carry_out(verdict.commands)
    assert talk.known == talk.said
    talk.offload.refresh()
    [flow] = talk.engine.table.flows.values()
    assert flow.original.end == talk.said


def test_what_nobody_believes_leaves_both_where_they_were() -> None:
    talk = Conversation()
    blind = packets.tcp(*talk.ends, ACK, talk.said + (1 << 20), 77)
    assert talk.path.forward(blind, Side.INSIDE, talk.now) is not None
    talk.offload.refresh()
    [flow] = talk.engine.table.flows.values()
    assert talk.known == flow.original.end == talk.said
    assert flow.original.packets == 2
