"""Which edited bytes leave because of a segment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.direction import Delivery
from ipmasq.core.runs import asked, early, see_through, within_window
from ipmasq.core.stream import Replacement, Stream

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
