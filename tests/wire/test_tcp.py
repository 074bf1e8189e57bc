"""TCP headers, options and sequence numbers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire import tcp
from tests.conformance import packets

words = st.integers(0, 0xFFFFFFFF)
halves = st.integers(0, 0xFFFF)
options = st.integers(0, 10).flatmap(
    lambda count: st.binary(min_size=4 * count, max_size=4 * count)
)
segments = st.builds(
    tcp.Segment,
    halves,
    halves,
    words,
    words,
    st.integers(0, 255),
    halves,
    halves,
    halves,
    options,
    st.integers(0, 15),
)


@given(segments, st.binary(max_size=40))
def test_a_segment_is_read_as_it_was_written(segment: tcp.Segment, payload: bytes):
    data = tcp.write(segment, payload)
    assert tcp.read(data) == segment
    assert data[segment.length :] == payload


@given(words, words, st.binary(max_size=40), options)
def test_the_tests_own_writer_is_understood(seq: int, ack: int, payload: bytes, said: bytes):
    data = packets.tcp(bytes(4), 1, bytes(4), 2, packets.ACK, seq, ack, payload, said, urgent=3)
    segment = tcp.read(data[20:])
    assert segment is not None
    assert segment[:5] == (1, 2, seq, ack, tcp.ACK)
    assert (segment.window, segment.urgent, segment.options) == (64000, 3, said)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_header_that_fits_in_them_or_none(data: bytes):
    segment = tcp.read(data)
    assert segment is None or 20 <= segment.length <= len(data)


@given(options, st.integers(2, 255))
def test_any_options_are_searched_without_harm(data: bytes, kind: int):
    found = tcp.option(data, kind)
    assert found is None or bytes((kind, len(found) + 2)) + found in data


def test_the_first_option_of_a_kind_is_found_behind_others_and_before_the_end():
    data = b"\x01\x02\x04\x05\xb4\x03\x03\x07\x03\x03\x01\x00\x08\x02\x00\x00"
    assert tcp.option(data, tcp.MSS) == b"\x05\xb4"
    assert tcp.option(data, tcp.WINDOW_SCALE) == b"\x07"
    assert tcp.option(data, tcp.TIMESTAMPS) is None, "it stands behind the end"


def sack(*blocks: tuple[int, int]) -> bytes:
    value = b"".join(struct.pack("!II", *block) for block in blocks)
    return b"\x01\x01" + bytes((tcp.SACK, len(value) + 2)) + value


@given(st.lists(st.tuples(words, st.integers(1, 1 << 20)), min_size=1, max_size=4), words)
def test_sack_edges_are_mapped_and_the_header_keeps_its_length(
    found: list[tuple[int, int]], by: int
):
    blocks = [(left, tcp.advance(left, size)) for left, size in found]
    mapped = tcp.map_sack(sack(*blocks), lambda edge, _: tcp.advance(edge, by))
    assert mapped == sack(*[(tcp.advance(a, by), tcp.advance(b, by)) for a, b in blocks])


def test_a_sack_block_that_becomes_empty_is_left_out_and_filled_up():
    mapped = tcp.map_sack(sack((10, 20), (30, 40)), lambda edge, _: min(edge, 25))
    assert mapped == sack((10, 20)) + b"\x01" * 8
    assert tcp.map_sack(sack((30, 40)), lambda edge, _: 25) == b"\x01" * 12


@given(words, st.integers(-(1 << 31), (1 << 31) - 1))
def test_a_distance_is_what_one_has_advanced_across_any_wrap(start: int, count: int):
    assert tcp.distance(start, tcp.advance(start, count)) == count


@pytest.mark.parametrize("size", range(20))
def test_less_than_a_header_is_none(size: int):
    assert tcp.read(bytes(size)) is None
