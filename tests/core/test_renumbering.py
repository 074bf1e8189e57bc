"""Numbers of a segment, as the other end must see them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.direction import Direction
from ipmasq.core.helper import Speaker
from ipmasq.core.renumbering import map_sack, renumbered, window_left
from ipmasq.core.stream import Replacement, Stream
from ipmasq.wire.tcp import ACK, SYN, Segment

SEGMENT = Segment(1, 2, 100, 7, ACK, 60000, 0, 0, b"\x01\x01\x01\x00", 3)


@given(st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_only_the_numbers_that_are_given_change(acknowledgment, window, other_options):
    options = b"" if other_options else SEGMENT.options
    after = renumbered(SEGMENT, ACK, (acknowledgment, window, options))
    assert after == SEGMENT._replace(acknowledgment=acknowledgment, window=window, options=options)


def test_sack_edges_are_put_back_to_where_their_speaker_counts():
    stream = Stream(1000, 1 << 16)
    stream.arrive(0, b"onexxxthree")
    stream.decide(11, (Replacement(3, 6, b"twelve"),))
    block = (1009).to_bytes(4, "big") + (1014).to_bytes(4, "big")
    back = (1006).to_bytes(4, "big") + (1011).to_bytes(4, "big")
    assert map_sack(stream, b"\x01\x01\x05\x0a" + block) == b"\x01\x01\x05\x0a" + back
    assert map_sack(stream, b"\x05\x0a") == b"\x05\x0a"


def test_what_was_acknowledged_early_takes_room_but_never_the_rest_of_a_message():
    me, heard = Direction(Speaker.CLIENT), Stream(0, 1 << 16)
    me.end.scale = 2
    assert window_left(me, heard, ACK, 100, 0) == 100
    assert window_left(me, heard, ACK, 100, 40) == 90
    assert window_left(me, heard, SYN, 100, 40) == 60
    assert window_left(me, heard, ACK, 1, 40) == 0
    heard.arrive(0, b"PORT")
    assert window_left(me, heard, ACK, 1, 4) << 2 >= heard.framer.longest - 4
