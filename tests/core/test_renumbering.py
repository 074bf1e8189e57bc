"""Acknowledgment numbers, windows and SACK edges as the other end must see them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.direction import Direction
from ipmasq.core.helper import Speaker
from ipmasq.core.renumbering import map_sack, renumbered, window_left
from ipmasq.core.stream import Replacement, Stream
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, SYN, Segment
from tests.core.conversation import (
    Conversation,
    Side,
)
from tests.core.rewriting import PORT, rewritten


@pytest.mark.row("SEQ-7")
@pytest.mark.parametrize("window", [0, 1, 10])
def test_a_listener_with_less_room_than_a_line_does_not_stop_it(window: int) -> None:
    talk = Conversation().open()
    talk.send(Side.OUTSIDE, b"", window=window)
    held = talk.client(PORT[:10])
    assert held.answers[0].segment.window >= len(PORT) - 10
    assert talk.client(PORT[10:]).payload.startswith(b"PORT 203,0,113,1,")


@pytest.mark.row("SEQ-4")
def test_sack_edges_are_shifted_and_never_fall_inside_a_rewrite() -> None:
    talk = Conversation().open()
    after, _ = rewritten(talk)
    talk.client(b"NOOP\r\n")
    end = len(after) + 6

    def sack(left: int, right: int) -> tuple[int, int] | None:
        base = talk.first[Side.INSIDE]
        block = tcp.advance(base, left).to_bytes(4, "big") + tcp.advance(base, right).to_bytes(
            4, "big"
        )
        seen = talk.hears(Side.OUTSIDE, 0, options=b"\x01\x01\x05\x0a" + block).one
        value = tcp.option(seen.segment.options, tcp.SACK)
        if value is None:
            return None
        edges = (int.from_bytes(value[:4], "big"), int.from_bytes(value[4:], "big"))
        return tcp.distance(base, edges[0]), tcp.distance(base, edges[1])

    assert sack(len(after), end) == (len(PORT), len(PORT) + 6)
    assert sack(10, end) == (len(PORT) - 2, len(PORT) + 6)
    assert sack(0, 10) == (0, 5)
    assert sack(8, 12) is None


@pytest.mark.row("SEQ-5")
def test_an_acknowledgment_inside_a_rewrite_is_clamped_to_its_start() -> None:
    talk = Conversation().open()
    after, _ = rewritten(talk)
    acked = [
        talk.acked(talk.hears(Side.OUTSIDE, n).one, Side.INSIDE) for n in range(len(after) + 1)
    ]
    assert acked == sorted(acked)
    assert set(acked[6 : len(after) - 2]) == {5}
    assert acked[-1] == len(PORT)


@pytest.mark.row("SEQ-7")
def test_a_zero_window_passes_in_both_directions_across_a_rewrite() -> None:
    talk = Conversation().open()
    after, _ = rewritten(talk)
    closed = talk.hears(Side.OUTSIDE, len(after), window=0).one
    assert closed.segment.window == 0
    assert talk.acked(closed, Side.INSIDE) == len(PORT)
    assert talk.client(b"N", at=len(PORT)).spans == [(len(after), b"N")]


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
