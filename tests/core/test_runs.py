"""Which edited bytes leave because of a segment."""

from __future__ import annotations

import pytest

from ipmasq.core import events
from ipmasq.core.reasons import Reason
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
