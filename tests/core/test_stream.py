"""Positions of one direction, and what is kept of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.stream import HISTORY, Replacement, Stream, StreamFullError
from ipmasq.core.views import Shift

edits = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(0, 20)), max_size=20)


def build(wanted: list[tuple[int, int, int]]) -> tuple[Stream, list[int | None]]:
    """A stream with edits (bytes before it, bytes replaced, bytes put in), and for each edited
    position the original one (None inside an edit)."""
    stream = Stream(0, 1 << 16)
    truth: list[int | None] = []
    at = 0
    for before, old, new in wanted:
        stream.arrive(at, b"a" * (before + old))
        stream.decide(before + old, (Replacement(before, before + old, b"b" * new),))
        truth += list(range(at, at + before)) + [None] * new
        at += before + old
    stream.arrive(at, b"z")
    stream.decide(1)
    truth.append(at)
    stream.check()
    return stream, truth


@given(edits)
def test_positions_outside_rewrites_map_exactly_both_ways(
    wanted: list[tuple[int, int, int]],
) -> None:
    stream, truth = build(wanted)
    assert stream.ready == len(truth)
    for edited, original in enumerate(truth):
        if original is not None:
            assert stream.original(edited + 1) >= original
            assert stream.edited(original) <= edited
            if edited + 1 < len(truth) and truth[edited + 1] == original + 1:
                assert stream.original(edited + 1) == original + 1


@given(edits)
def test_maps_never_go_back_and_never_acknowledge_what_has_not_arrived(
    wanted: list[tuple[int, int, int]],
) -> None:
    stream, _truth = build(wanted)
    down = [stream.original(n) for n in range(stream.ready + 1)]
    up = [stream.original(n, round_up=True) for n in range(stream.ready + 1)]
    assert down == sorted(down)
    assert up == sorted(up)
    assert all(low <= high for low, high in zip(down, up, strict=True))
    assert down[-1] == stream.received
    for edited in range(stream.ready + 1):
        # Everything before the original position has its twin before the edited one.
        assert stream.edited(down[edited]) <= edited or down[edited] == 0


@given(edits, st.integers(0, 300), st.integers(0, 300))
def test_any_slice_is_what_was_decided(
    wanted: list[tuple[int, int, int]], start: int, size: int
) -> None:
    stream, truth = build(wanted)
    whole = b"".join(b"b" if each is None else b"a" for each in truth[:-1]) + b"z"
    assert stream.slice(start, start + size) == (start, whole[start : start + size])


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=8))
def test_segments_in_any_order_and_repeated_give_the_same_bytes(
    order: list[int], again: list[int]
) -> None:
    text = bytes(range(80))
    stream = Stream(5, 1000)
    fresh = b""
    for index in [*again[:4], *order, *again[4:]]:
        fresh += stream.arrive(index * 10, text[index * 10 : index * 10 + 10])
        stream.check()
    assert fresh == text
    assert bytes(stream.undecided) == text


def test_more_than_the_limit_is_refused_and_changes_nothing() -> None:
    stream = Stream(0, 100)
    stream.arrive(0, b"x" * 60)
    stream.decide(60)
    for position, size in ((60, 50), (70, 100), (1000, 1)):
        with pytest.raises(StreamFullError):
            stream.arrive(position, b"x" * size)
        stream.check()
        assert stream.received == 60
    stream.acknowledge(60)
    assert len(stream.arrive(60, b"x" * 50)) == 50


def test_what_was_acknowledged_is_forgotten_but_for_a_little_history() -> None:
    stream = Stream(0, 1 << 20)
    for n in range(2000):
        stream.arrive(n * 10, b"0123456789")
        stream.decide(10, (Replacement(0, 5, b"longer text"),))
        stream.acknowledge(stream.ready)
        stream.check()
    assert len(stream._kept) <= 2 * HISTORY + 16
    assert len(stream._edits) < 1000
    assert stream.edited(stream.received - 10) == stream.ready - 16
    assert stream.original(stream.ready) == stream.received


def test_the_shift_says_where_and_by_how_much_as_of_old() -> None:
    stream = Stream(1000, 1 << 16)
    assert stream.shift == Shift(0, 0, 0)
    stream.arrive(0, b"PORT a PORT b")
    stream.decide(6, (Replacement(5, 6, b"abc"),))
    assert stream.shift == Shift(1005, 2, 0)
    stream.decide(7, (Replacement(6, 7, b"xyz"),))
    assert stream.shift == Shift(1012, 4, 2)


def test_a_released_stream_is_only_shifted_and_can_be_taken_up_again() -> None:
    stream = Stream(0, 1 << 16)
    stream.arrive(0, b"abc")
    stream.decide(3, (Replacement(0, 1, b"AAA"),))
    stream.arrive(3, b"de")
    stream.release()
    stream.check()
    stream.skip(100)
    assert (stream.edited(50), stream.original(52), stream.ready) == (52, 50, 102)
    stream.acknowledge(102)
    stream.retain(b"\n")
    stream.check()
    stream.arrive(100, b"more")
    stream.decide(4)
    assert stream.slice(102, 106) == (102, b"more")
    stream.check()
