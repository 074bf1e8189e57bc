"""Which edited bytes leave because of a segment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core import events
from ipmasq.core.direction import Delivery
from ipmasq.core.reasons import Reason
from ipmasq.core.runs import asked, early, see_through, within_window
from ipmasq.core.stream import Replacement, Stream
from tests.core.conversation import (
    Conversation,
    Side,
)
from tests.core.rewriting import PORT, rewritten, size


@pytest.mark.row("A-16")
def test_a_repeated_byte_does_not_send_all_that_is_not_acknowledged() -> None:
    talk = Conversation().open()
    talk.client(b"PO")
    for _ in range(170):
        talk.client(b"x" * 1400)
    last = talk.said[Side.INSIDE] - 1
    for number in range(1000):
        if number % 100 == 99:
            talk.later(10)  # what was acknowledged early, two bytes, may be repeated now and then
        assert size(talk.client(b"x", at=last)) <= 150


@pytest.mark.row("A-39")
def test_a_run_longer_than_a_packet_can_be_is_cut() -> None:
    """An announced segment size of 65,535, and a gap that fills with more than fits into one packet."""
    talk = Conversation(mss=65535, permits=b"\x03\x03\x07\0").open()
    for at in range(1, 69_000, 1400):
        talk.send(Side.INSIDE, b"x" * 1400, at)
    outcome = talk.client(b"x", at=0)
    assert outcome.reason is Reason.TRANSLATED
    assert max(len(packet.data) for packet in outcome.verdict.packets) <= 65535
    assert len(outcome.payload) > 65535


@pytest.mark.row("SEQ-3", "A-17")
def test_a_retransmission_of_a_rewritten_line_carries_the_same_bytes() -> None:
    talk = Conversation().open()
    first = talk.client(PORT)
    again = talk.client(PORT, at=0)
    assert again.spans == first.spans
    assert sum(isinstance(e, events.Expected) for e in talk.events) == 1


@pytest.mark.row("SEQ-3")
def test_a_retransmission_with_other_boundaries_carries_the_same_bytes() -> None:
    for cut in range(1, len(PORT)):
        talk = Conversation().open()
        after, _ = rewritten(talk)
        talk.client(b"NOOP\r\n")
        got = bytearray(len(after) + 6)
        for at, piece in ((0, PORT[:cut]), (cut, (PORT + b"NOOP\r\n")[cut:])):
            for start, payload in talk.client(piece, at=at).spans:
                got[start : start + len(payload)] = payload
        assert bytes(got) == after + b"NOOP\r\n"


@pytest.mark.row("SEQ-3", "A-17")
def test_a_retransmission_that_says_something_else_changes_nothing() -> None:
    talk = Conversation().open()
    first = talk.client(PORT)
    other = talk.client(b"PORT 10,0,0,2,9,9\r\n", at=0)
    assert other.spans == first.spans
    assert sum(isinstance(e, events.Expected) for e in talk.events) == 1


SAID, EDITED = b"one TWO three", b"one LONGER three"


def edited() -> Stream:
    """`SAID`, of which TWO became LONGER."""
    stream = Stream(0, 1 << 16)
    stream.arrive(0, SAID)
    stream.decide(len(SAID), (Replacement(4, 7, b"LONGER"),))
    return stream


spans = st.tuples(st.integers(0, len(SAID)), st.integers(0, len(SAID))).map(sorted)


@given(spans)
def test_whatever_is_asked_for_again_is_a_part_of_what_was_sent(span: list[int]) -> None:
    stream, (start, end) = edited(), span
    (run,) = asked(stream, stream.edited(start), start, SAID[start:end])
    assert EDITED[run.start : run.start + len(run.data)] == run.data
    if end > 7 and start <= 4:
        assert b"LONGER" in run.data


@given(spans)
def test_a_stream_that_became_transparent_gives_the_same_bytes_again(span: list[int]) -> None:
    stream, (start, end) = edited(), span
    stream.release()
    for run in see_through(stream, Delivery(), start, SAID[start:end], 0.0):
        assert EDITED[run.start : run.start + len(run.data)] == run.data


def test_what_comes_after_a_stream_became_transparent_is_only_shifted() -> None:
    stream = edited()
    stream.release()
    runs = see_through(stream, Delivery(), len(SAID), b" four", 0.0)
    assert [(start, data) for start, data in runs if data] == [(len(EDITED), b" four")]


def test_bytes_that_were_never_seen_pass_as_they_come() -> None:
    stream = Stream(0, 1 << 16, unseen=4)
    stream.arrive(0, SAID)
    stream.decide(len(SAID) - 4, (Replacement(0, 3, b"LONGER"),))
    runs = asked(stream, 0, 0, SAID, stream.ready)
    assert [tuple(run) for run in runs] == [(0, b"one "), (4, b"LONGER three")]


def test_early_acknowledged_bytes_are_sent_as_far_as_they_have_not_arrived() -> None:
    stream = edited()
    stream.acked_early = 7
    stream.acknowledge(5)
    assert tuple(early(stream, stream.ready)) == (5, b"ONGER")
    assert tuple(early(stream, 8)) == (5, b"ONG")


def test_what_nobody_has_offered_to_take_is_left_out() -> None:
    stream = Stream(0, 1 << 16)
    data = bytes(3000)
    assert within_window(stream, None, 0, data) == data
    assert len(within_window(stream, 100, 0, data)) == 100 + stream.framer.longest
    assert within_window(stream, 100, 5000, data) == b""
