"""What is remembered of the headers of one end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.reasons import Reason
from ipmasq.core.tcp_end import LEAST_MSS, LEAST_ROOM, MOST_HEADERS, STAMPED, USUAL_MSS, TcpEnd
from ipmasq.wire.tcp import ACK, SYN, Segment
from tests.core.conversation import (
    Conversation,
    Side,
)


@pytest.mark.parametrize("mss", [0, 1, 10, 65535])
@pytest.mark.row("A-39")
def test_no_announced_segment_size_multiplies_packets_or_makes_one_that_is_too_long(
    mss: int,
) -> None:
    talk = Conversation(mss=mss).open()
    talk.hears(Side.OUTSIDE, 0)
    said = talk.client(b"PORT 1", window=60000)
    assert said.reason is Reason.HELD
    data = b"x" * 1300
    outcome = talk.client(data)
    assert len(outcome.verdict.packets) <= 2 + len(data) // 48
    for _ in range(30):
        outcome = talk.client(b"y" * 1400)
        assert len(outcome.verdict.packets) <= 2 + 10_000 // 48
    assert outcome.reason is Reason.TRANSLATED
    assert talk.engine.counts[Reason.FAULT] == 0


def segment(options: bytes = b"", flags: int = ACK, window: int = 100) -> Segment:
    return Segment(1, 2, 0, 0, flags, window, 0, 0, options)


def test_a_syn_says_the_largest_segment_the_scale_and_whether_sack_is_taken():
    end = TcpEnd()
    end.open(segment(b"\x02\x04\x05\xb4\x01\x01\x04\x02\x01\x03\x03\x07", SYN))
    assert (end.mss, end.scale, end.takes_sack) == (1460, 7, True)
    end.open(segment(b"\x03\x03\xff\x01", SYN))
    assert (end.mss, end.scale, end.takes_sack) == (USUAL_MSS, 14, False)


STAMP = b"\x08\x0aABCDefgh"


@pytest.mark.parametrize(
    "options", [STAMPED + STAMP[2:], STAMP + b"\x01\x01", b"\x01" + STAMP + b"\x00"]
)
def test_a_timestamp_is_found_wherever_it_stands_if_its_segment_is_in_order(options: bytes):
    end = TcpEnd()
    end.learn(segment(options), 0, in_order=False)
    assert end.timestamp is None
    end.learn(segment(options), 0, in_order=True)
    assert end.timestamp == b"ABCD"
    end.learn(segment(), 0, in_order=True)
    assert end.timestamp == b"ABCD"


ODD = b"\x08\x04AB" + bytes(8)
"""A timestamps option of a length that it cannot have (RFC 7323, 3.2)."""


@pytest.mark.parametrize("options", [STAMPED, STAMPED + b"ABCD", ODD])
def test_options_that_are_cut_off_say_no_timestamp(options: bytes):
    end = TcpEnd()
    end.learn(segment(options), 0, in_order=True)
    assert end.timestamp is None


def test_the_edge_of_a_window_is_scaled_and_never_goes_back():
    end = TcpEnd()
    end.open(segment(b"\x03\x03\x02\x00", SYN))
    end.learn(segment(window=100), 50, in_order=True)
    assert end.edge == 450
    end.learn(segment(window=10), 60, in_order=True)
    assert end.edge == 450
    assert end.window == 10


def test_without_its_syn_nobody_knows_where_a_window_ends():
    end = TcpEnd()
    end.learn(segment(window=100), 50, in_order=True)
    assert end.edge is None


@given(
    st.none() | st.integers(0, 0xFFFF),
    st.integers(0, 40),
    st.integers(0, 0xFFFF),
    st.none() | st.integers(68, 0xFFFF),
)
def test_a_segment_has_room_that_end_and_path_take(mss, options, size, path_mtu):
    end = TcpEnd()
    end.mss = mss
    room = end.room(options, size, path_mtu)
    assert LEAST_ROOM <= room <= 0xFFFF - MOST_HEADERS
    if room > LEAST_ROOM:
        assert room <= (max(size, USUAL_MSS) if mss is None else max(mss, LEAST_MSS) - options)
        assert path_mtu is None or room + options + 40 <= path_mtu
