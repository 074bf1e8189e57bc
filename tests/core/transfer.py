"""A data connection beside its control connection, for tests."""

from __future__ import annotations

from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.tcp import ACK, FIN, PSH, SYN, Segment
from tests.core.conversation import OUTSIDE, PUBLIC, Conversation, build


class Transfer:
    """A data connection beside a control connection."""

    def __init__(self, talk: Conversation, client: Endpoint, server: Endpoint, side: Side) -> None:
        """`client` opens it towards `server`, both as it sees them, on `side`."""
        self.talk = talk
        self.client, self.server, self.side = client, server, side
        self.seen = self._send(self.client, self.server, side, SYN)
        assert self.seen is not None
        self._send(self.seen[1], self.seen[0], side.other, SYN | ACK)
        self._send(self.client, self.server, side, ACK)

    def _send(
        self, source: Endpoint, destination: Endpoint, side: Side, flags: int
    ) -> tuple[Endpoint, Endpoint] | None:
        from tests.core.conversation import read

        syn = flags & SYN
        acknowledged = 2 if flags & ACK else 0
        segment = Segment(0, 0, 1 if syn else 2, acknowledged, flags, 1000, 0, 0, b"")
        verdict = self.talk.engine.receive(build(source, destination, segment), side, self.talk.now)
        self.talk.engine.check()
        self.talk.events += self.talk.engine.events()
        if not verdict.packets:
            return None
        seen = read(verdict.packets[0])
        return seen.source, seen.destination

    def goes_on(self) -> None:
        assert self._send(self.client, self.server, self.side, ACK | PSH) is not None

    def ends(self) -> None:
        assert self.seen is not None
        self._send(self.client, self.server, self.side, FIN | ACK)
        self._send(self.seen[1], self.seen[0], self.side.other, FIN | ACK)


def active(talk: Conversation) -> Transfer:
    """The masqueraded client says PORT, the server connects."""
    said = talk.client(b"PORT 10,0,0,2,4,1\r\n").payload[5:-2].split(b",")
    public = Endpoint(PUBLIC, int(said[4]) * 256 + int(said[5]))
    return Transfer(talk, Endpoint(OUTSIDE.address, 20), public, Side.OUTSIDE)
