"""What the gateway sends by itself."""

from __future__ import annotations

import pytest

from ipmasq.core.direction import HOLD, MOST_REPEATS, REPEAT_AFTER, Direction
from ipmasq.core.framing import MessageReader
from ipmasq.core.helper import Speaker
from ipmasq.core.own_segments import ack_early, deliver, report_gap, speak
from ipmasq.core.stream import LINES, Stream
from ipmasq.core.tcp_end import STAMPED
from ipmasq.core.timers import SOON
from ipmasq.wire.tcp import ACK, PSH
from tests.core.conversation import (
    Conversation,
    Side,
)
from tests.core.rewriting import own


@pytest.mark.parametrize("begun", [b"P", b"PORT 10", b"EPRT |1|"])
def test_a_line_that_does_not_go_on_leaves_after_two_seconds(begun: bytes) -> None:
    talk = Conversation().open()
    talk.client(begun)
    talk.later(HOLD - 1)
    assert own(talk) == []
    talk.later(2)
    assert own(talk) == [(0, begun)]


def test_what_was_acknowledged_early_is_repeated_as_soon_as_a_sender_would() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10")
    talk.client(b",0,0,2,4,1\r\n")
    talk.later(REPEAT_AFTER - 0.01)
    assert own(talk) == []
    talk.later(0.01 + SOON)
    ((at, offloaded),) = own(talk)
    assert (at, offloaded[:7]) == (0, b"PORT 20")


@pytest.mark.row("SEQ-3")
def test_what_was_acknowledged_early_is_repeated_until_it_arrives() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10")
    talk.later(HOLD + 1)
    assert own(talk) == [(0, b"PORT 10")]  # and is lost
    talk.later(1)
    assert own(talk) == [(0, b"PORT 10")]
    talk.hears(Side.OUTSIDE, 7)
    for _ in range(100):
        talk.later(5)
    assert own(talk) == []


def test_a_listener_that_never_acknowledges_is_given_up() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10")
    sent = []
    for _ in range(200):
        talk.later(2)
        sent += own(talk)
    assert len(sent) == 1 + MOST_REPEATS


def ends() -> tuple[Direction, Direction]:
    """A client that has said `PORT`, which is withheld, and a server that has said nothing."""
    me, other = Direction(Speaker.CLIENT), Direction(Speaker.SERVER)
    me.stream, other.stream = Stream(1000, 1 << 16), Stream(5000, 1 << 16)
    me.reader = MessageReader(LINES)
    me.reader.feed(me.stream.arrive(0, b"PORT"))
    me.end.timestamp, other.end.timestamp = b"mine", b"hers"
    me.end.window = other.end.window = 500
    return me, other


def test_a_segment_in_the_name_of_an_end_has_the_numbers_and_timestamps_that_it_last_had():
    me, other = ends()
    sent = speak(me, other, 0, b"PORT")
    assert (sent.speaker, sent.payload) == (Speaker.CLIENT, b"PORT")
    segment = sent.segment
    assert (segment.sequence, segment.acknowledgment, segment.window) == (1000, 5000, 500)
    assert segment.flags == ACK | PSH
    assert segment.options == STAMPED + b"mine" + b"hers"


def test_withheld_bytes_are_acknowledged_once_the_listener_has_all_before_them():
    me, other = ends()
    (answer,) = ack_early(me, other)
    assert (answer.speaker, answer.segment.acknowledgment) == (Speaker.SERVER, 1004)
    me, other = ends()
    assert me.stream is not None
    me.stream.decide(4)
    me.stream.arrive(4, b" 10")
    assert ack_early(me, other) == []


def test_a_gap_is_reported_with_blocks_if_both_ends_take_them():
    for takes in (True, False):
        me, other = ends()
        me.end.takes_sack, other.end.takes_sack = True, takes
        assert me.stream is not None
        me.stream.decide(4)
        me.stream.arrive(10, b"late")
        (answer,) = report_gap(me, other, 10)
        block = (1010).to_bytes(4, "big") + (1014).to_bytes(4, "big")
        assert answer.segment.acknowledgment == 1000
        assert answer.segment.options.endswith(block) is takes


def test_a_message_that_is_never_finished_leaves_after_its_time_and_is_repeated_until_it_arrives():
    me, other = ends()
    assert me.stream is not None
    me.delivery.since = 0.0
    ack_early(me, other)
    assert list(deliver(me, other, HOLD / 2, HOLD, None)) == []
    (sent,) = deliver(me, other, HOLD, HOLD, None)
    assert (sent.segment.sequence, sent.payload) == (1000, b"PORT")
    (again,) = deliver(me, other, HOLD + REPEAT_AFTER, HOLD, None)
    assert again.payload == b"PORT"
    me.stream.acknowledge(4)
    (done,) = [*deliver(me, other, HOLD + 10 * REPEAT_AFTER, HOLD, None)] or [None]
    assert done is None
