"""Packets of a connection that a helper inspects wait for the store, all of them, and leave in their order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ipmasq.continuity.authentic import Seal
from ipmasq.continuity.feed import Feed
from ipmasq.core.direction import HOLD
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.replication import Publisher, Replication, of_share
from ipmasq.planes.memory import MemoryPlane
from ipmasq.wire.tcp import ACK, PSH, Segment
from tests.conformance import packets
from tests.core.conversation import INSIDE, OUTSIDE, Conversation, Side, build, read
from tests.core.conversation import policy as with_ftp

BEGUN = b"PORT " + b" " * 900
SEAL = Seal(b"a secret of the operator", "group", "records")


class Active:
    """An active member whose store does not answer."""

    def __init__(self) -> None:
        self.talk = Conversation(mss=500).open()
        self.talk.server(b"220 ready\r\n")
        self.loop = Loop()
        self.loop.clock = lambda: self.talk.now  # type: ignore[method-assign]
        self.plane = MemoryPlane(with_ftp().inside)
        self.drive = Drive(self.talk.engine, self.plane, self.loop)
        self.drive.start()
        self.publisher = Publisher(self.talk.engine, self.loop)
        self._over = threading.Event()
        self.feed = Feed(self._connect, SEAL, "group", "one", 1, lambda: None)
        belongs = of_share(self.talk.engine, "")
        self.replication = Replication(self.publisher, self.feed, 60.0, 1.0, belongs)
        self.publisher.add(self.replication)
        self.publisher.collect(0.0)
        self.drive.write_ahead = self.publisher.write_ahead

    def _connect(self, patience: float) -> None:
        self._over.wait()
        raise ConnectionError

    def wait(self, now: float = 0.0) -> None:
        """Let so much time pass that what is withheld leaves."""
        self.talk.now = HOLD + 1

    def go_on(self) -> None:
        """Let the loop run once."""
        self.loop.later(0, self.loop.stop)
        self.loop.run()

    def say(self, text: bytes) -> None:
        """The client says something next."""
        talk = self.talk
        sequence = talk.first[Side.INSIDE] + talk.said[Side.INSIDE]
        talk.said[Side.INSIDE] += len(text)
        segment = Segment(0, 0, sequence, talk.first[Side.OUTSIDE], ACK | PSH, 60000, 0, 0, b"")
        self.plane.deliver(build(INSIDE, OUTSIDE, segment, text), Side.INSIDE)

    def left(self) -> list[bytes]:
        """What has left to the server since the last call."""
        return [read(each).payload for each in self.plane.collect(Side.OUTSIDE)]

    def close(self) -> None:
        self._over.set()
        self.feed.abandon()
        self.drive.stop()


@pytest.fixture
def active() -> Iterator[Active]:
    made = Active()
    yield made
    made.close()


@pytest.mark.parametrize("another", [False, True])
def test_all_segments_that_the_gateway_sends_by_itself_wait(active: Active, another: bool) -> None:
    """Also if it is time for them when a packet of another flow comes."""
    active.say(BEGUN)
    active.go_on()
    active.replication.outbox.release(1 << 30)
    assert active.left() == [b""], "what it acknowledges goes on"
    if another:
        active.loop.between(active.wait)
        active.plane.deliver(packets.udp(INSIDE.address, 5000, OUTSIDE.address, 53), Side.INSIDE)
        active.loop.round()
    else:
        active.wait()
        active.go_on()
    assert active.plane.collect(Side.OUTSIDE) == []
    active.replication.outbox.release(1 << 30)
    left = active.plane.collect(Side.OUTSIDE)
    assert b"".join(read(each).payload for each in left[:2]) == BEGUN
    assert len(left) == 2 + another


def test_what_waits_leaves_before_what_does_not_wait_since_the_store_cannot_be_used(
    active: Active,
) -> None:
    active.say(b"USER a\r\n")
    active.go_on()
    assert active.left() == []
    active.feed.trouble = "the store has gone"
    active.say(b"PASS b\r\n")
    active.go_on()
    assert active.left() == [b"USER a\r\n", b"PASS b\r\n"]
    assert (active.replication.outbox.late, active.publisher.unwritten) == (1, 1)
