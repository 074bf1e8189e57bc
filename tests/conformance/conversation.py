"""A TCP connection across the gateway, spoken segment by segment by two scripted ends.

    talk = Conversation(world, Endpoint(IN1, 4000), Endpoint(OUT1, 21))
    talk.say(SERVER, b"220 ready\\r\\n")
    talk.say(CLIENT, b"PORT 10,0,0,2,4,1\\r\\n")
    assert talk.heard(SERVER) == b"PORT 203,0,113,1,...\\r\\n"

Each end counts in its own sequence numbers and knows only what arrives: a wrong shift is a lost byte.
"""

from __future__ import annotations

from typing import Any

from ipmasq.wire.addresses import Endpoint
from tests.conformance import packets
from tests.conformance.packets import ACK, FIN, PSH, RST, SYN, Facts
from tests.conformance.world import Passage, World

CLIENT, SERVER = 0, 1
MSS = b"\x02\x04\x05\xb4"


class End:
    def __init__(self, first: int) -> None:
        self.me = Endpoint(b"", 0)
        self.other = Endpoint(b"", 0)
        """As this end sees it."""
        self.said = first
        """Its next sequence number."""
        self.awaited = 0
        """The next one of the other end."""
        self.heard = bytearray()

    def write(self, flags: int, payload: bytes = b"", **rest: Any) -> bytes:
        rest.setdefault("seq", self.said % 2**32)
        rest.setdefault("ack", self.awaited % 2**32 if flags & ACK else 0)
        return packets.tcp(*self.me, *self.other, flags, payload=payload, **rest)

    def take(self, facts: Facts) -> bool:
        """What arrives; whether it wants an acknowledgement."""
        assert (facts.source, facts.destination) == (self.other, self.me)
        if facts.seq == self.awaited % 2**32:
            self.heard += facts.payload
            self.awaited += len(facts.payload) + bool(facts.flags & (SYN | FIN))
        return bool(facts.payload or facts.flags & (SYN | FIN))


class Conversation:
    def __init__(
        self,
        world: World,
        client: Endpoint,
        target: Endpoint,
        firsts: tuple[int, int] = (1000, 9000),
        opened: bool = True,
        options: bytes = MSS,
    ) -> None:
        """From `client` to `target` as the client sees it. `opened`: shake hands at once; `options`: those of both
        SYNs."""
        self.options = options
        self.world = world
        self.ends = (End(firsts[0]), End(firsts[1]))
        self.ends[CLIENT].me, self.ends[CLIENT].other = client, target
        if opened:
            self.open()

    def open(self) -> None:
        client, server = self.ends
        syn = self.syn()
        server.me, server.other, server.awaited = syn.destination, syn.source, syn.seq + 1
        answer = self.world.send(server.write(SYN | ACK, options=self.options)).one
        server.said += 1
        assert (answer.destination, answer.source) == (client.me, client.other)
        client.awaited = answer.seq + 1
        arrived = self.send(CLIENT, ACK).one
        assert (arrived.destination, arrived.source) == (server.me, server.other)

    def syn(self) -> Facts:
        syn = self.world.send(self.ends[CLIENT].write(SYN, options=self.options)).one
        self.ends[CLIENT].said += 1
        return syn

    def send(self, who: int, flags: int, payload: bytes = b"", **rest: Any) -> Passage:
        """A segment that nobody takes notice of."""
        return self.world.send(self.ends[who].write(flags, payload, **rest))

    def say(self, who: int, text: bytes, flags: int = ACK | PSH) -> Passage:
        """Text in one segment; what arrives is taken and acknowledged."""
        passage = self.send(who, flags, text)
        self.ends[who].said += len(text) + bool(flags & FIN)
        self.deliver(who, passage)
        return passage

    def deliver(self, who: int, passage: Passage) -> None:
        other = self.ends[1 - who]
        for facts in passage.packets:
            if facts.destination == other.me and facts.source == other.other and other.take(facts):
                self.world.send(other.write(ACK))

    def finish(self, who: int) -> Passage:
        return self.say(who, b"", FIN | ACK)

    def reset(self, who: int) -> Passage:
        return self.send(who, RST | ACK)

    def heard(self, who: int) -> bytes:
        """All that this end has received."""
        return bytes(self.ends[who].heard)
