"""Segments that arrive before those in front of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.budget import Account, Memory, unlimited
from ipmasq.core.framing import Lines
from ipmasq.core.plain import Fields
from ipmasq.core.waiting import MOST_WAITING, WaitingSegments
from tests.core.restored import serialised

LINES = Lines(b"\r\n", 100)
TEXT = b"one\r\ntwo\r\nthree\r\n"


@given(st.lists(st.tuples(st.integers(1, len(TEXT) - 1), st.integers(1, 6)), max_size=12))
def test_what_waits_follows_once_the_gap_is_filled(pieces: list[tuple[int, int]]):
    waiting = WaitingSegments(LINES)
    for start, size in pieces:
        assert waiting.add(start, TEXT[start : start + size], 0, 1000, unlimited())
        waiting.check()
    kept = [(start, end) for start, end in waiting.ranges() if start <= 1]
    received = TEXT[:1]
    while follows := waiting.take(len(received)):
        received += follows
    assert received == TEXT[: kept[0][1] if kept else 1]
    waiting.check()


def test_messages_that_wait_are_counted_once():
    waiting = WaitingSegments(LINES)
    for _ in range(2):
        assert waiting.add(5, b"two\r\nth", 0, 1000, unlimited())
    assert (waiting.messages, waiting.bytes) == (1, 7)
    assert waiting.add(5, b"two\r\nthree\r\n", 0, 1000, unlimited())
    assert (waiting.messages, waiting.bytes) == (2, 12)


def test_nothing_is_kept_that_is_far_ahead_or_too_much():
    waiting = WaitingSegments(LINES)
    assert not waiting.add(995, b"123456", 0, 1000, unlimited())
    assert not waiting.add(5, b"123456", 0, 1000, Account(Memory(5, 5), b""))
    for position in range(MOST_WAITING):
        assert waiting.add(2 * position + 1, b"x", 0, 10_000, unlimited())
    assert not waiting.add(5000, b"x", 0, 10_000, unlimited())
    waiting.check()


def test_segments_are_the_same_after_their_state():
    waiting, after = WaitingSegments(LINES), WaitingSegments(LINES)
    waiting.add(5, b"two\r\n", 0, 1000, unlimited())
    waiting.add(20, b"x", 0, 1000, unlimited())
    after.restore(Fields({"x": serialised(waiting.to_state())}, "here").rows("x"))
    assert (after.segments, after.messages, after.bytes) == (waiting.segments, 1, 6)
