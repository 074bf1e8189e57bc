"""What the fuzzer found, each as the shortest conversation that shows it.

Both ends are models; segments go through a whole engine. What one end says is given as positions in its stream, counted
from its first byte.
"""

from __future__ import annotations

from random import Random
from typing import Any

from fuzz.targets.connection import USE, Crossing
from ipmasq.core.helper import TCP, Helper, HelperContext
from ipmasq.core.policy import HelperUse
from ipmasq.core.speaker import Speaker
from ipmasq.wire import tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.tcp import ACK, FIN, PSH, SYN, Segment
from tests.core.peers import Peer

CLIENT, SERVER = Speaker.CLIENT, Speaker.SERVER
EDITED = b"E 10,0,0,2,4,1\r\n"
"""A line that the helper makes longer."""


class Hasty(Helper):
    """Expects the same place twice, and then thinks better of it."""

    name, ports, orthogonal = "hasty", (21,), True

    def on_line(self, line: bytes, context: HelperContext) -> None:
        endpoint = Endpoint(context.endpoint(CLIENT).address, 2000)
        assert context.expect(endpoint) == context.expect(endpoint)
        context.refuse("as it likes")


class Forgetful(Helper):
    """Expects a place, then another one and the first again."""

    name, ports, orthogonal = "forgetful", (21,), True

    def on_line(self, line: bytes, context: HelperContext) -> None:
        for port in line[:-2]:
            context.expect(Endpoint(context.endpoint(CLIENT).address, 2000 + port))


class Talk:
    """A connection that is open, with a helper that rewrites lines which begin with E."""

    def __init__(self) -> None:
        chance = Random(1)
        peers = Peer(chance, 1000, b"", 536), Peer(chance, 9000, b"", 536)
        self.crossing = Crossing(chance, peers, 0.0, 0.0)
        self.firsts = 1000, 9000

    def say(
        self, speaker: Speaker, flags: int, at: int, text: bytes = b"", acknowledged: int = 0
    ) -> list[Any]:
        """What goes out for a segment of `speaker`: `(speaker, flags, position, text, acknowledged)`."""
        numbers = (
            tcp.advance(self.firsts[speaker], at),
            tcp.advance(self.firsts[speaker.other], acknowledged) if flags & ACK else 0,
        )
        segment = Segment(1, 2, *numbers, flags, 60000, 0, 0, b"")
        return [self._told(sent) for sent in self.crossing._through(speaker, segment, text)]

    def _told(self, sent: Any) -> tuple[Speaker, int, int, bytes, int]:
        speaker, segment = sent.speaker, sent.segment
        return (
            speaker,
            segment.flags,
            tcp.distance(self.firsts[speaker], segment.sequence),
            sent.payload,
            tcp.distance(self.firsts[speaker.other], segment.acknowledgment),
        )

    def load(self) -> None:
        self.crossing.engine.load_helper(USE, self.crossing.now)

    def unload(self) -> None:
        self.crossing.engine.unload_helper("rewriter", self.crossing.now)


def test_a_fin_that_is_repeated_after_a_helper_was_loaded_arrives():
    talk = Talk()
    talk.unload()
    assert talk.say(CLIENT, ACK | FIN, 0) == [(CLIENT, ACK | FIN, 0, b"", 0)]
    talk.load()
    assert talk.say(CLIENT, ACK | FIN, 0) == [(CLIENT, ACK | FIN, 0, b"", 0)]


def test_a_syn_out_of_window_does_not_end_a_connection_whose_last_fin_is_not_acknowledged():
    talk = Talk()
    talk.say(SERVER, ACK | FIN, 0)
    talk.say(CLIENT, ACK | FIN, 0, acknowledged=1)
    talk.say(CLIENT, SYN, 1 << 30)
    last = talk.say(SERVER, ACK, 1, acknowledged=1)
    assert last == [(SERVER, ACK, 1, b"", 1)]


def test_a_helper_that_is_loaded_before_the_withheld_bytes_have_left_leaves_no_deadline_in_the_past():
    talk = Talk()
    talk.crossing.now = 0.4
    (said, *_) = talk.say(SERVER, ACK | PSH, 0, EDITED + b"STOP\r\nE")
    talk.load()
    talk.say(CLIENT, ACK, 0, acknowledged=len(said[3]))
    talk.crossing.now += 1.0
    talk.crossing.engine.tick(talk.crossing.now)
    assert talk.crossing.watch.deadline > talk.crossing.now


def test_what_passed_before_a_helper_was_loaded_and_is_repeated_gets_an_answer():
    talk = Talk()
    (said,) = talk.say(SERVER, ACK | PSH, 0, EDITED)
    assert len(said[3]) != len(EDITED)
    talk.unload()
    talk.load()
    talk.say(CLIENT, ACK | PSH, 0, b"hello", acknowledged=len(said[3]))
    talk.say(SERVER, ACK, len(EDITED), acknowledged=5)  # and this is lost
    (again,) = talk.say(CLIENT, ACK | PSH, 0, b"hello", acknowledged=len(said[3]))
    speaker, _, position, _, _ = again
    # RFC 9293, 3.10.7.4: a segment is answered at once if it lies before what is awaited.
    assert speaker is SERVER or position < 5


def test_a_place_that_is_expected_twice_in_a_line_that_is_refused_is_given_back_once():
    talk = Talk()
    talk.unload()
    used = HelperUse("hasty", Hasty, TCP, frozenset((21,)), True)
    talk.crossing.engine.load_helper(used, talk.crossing.now)
    talk.say(CLIENT, ACK | PSH, 0, b"the line of before\r\nx\r\n")
    talk.crossing.engine.check()


def test_what_was_said_before_a_helper_came_and_went_arrives_when_it_is_repeated():
    talk = Talk()
    talk.unload()
    talk.say(CLIENT, ACK | PSH, 5, b"world")  # what is before it was lost on its way
    talk.load()
    (said,) = talk.say(SERVER, ACK | PSH, 0, EDITED)
    talk.unload()
    (again,) = talk.say(CLIENT, ACK | PSH, 0, b"hello", acknowledged=len(said[3]))
    assert again[2:4] == (0, b"hello")


def test_an_expectation_that_one_line_replaces_and_renews_keeps_its_port():
    talk = Talk()
    talk.unload()
    used = HelperUse("forgetful", Forgetful, TCP, frozenset((21,)), True, expectations_per_flow=1)
    talk.crossing.engine.load_helper(used, talk.crossing.now)
    talk.say(CLIENT, ACK | PSH, 0, b"the line of before\r\n1\r\n21\r\n")
    (expected,) = talk.crossing.engine.expectations()
    assert expected.announced.port == 2000 + ord("1")
    public = [view.public for view in talk.crossing.engine.mappings()]
    assert expected.public in public
    talk.crossing.engine.unload_helper("forgetful", talk.crossing.now)
    talk.crossing.engine.check()
