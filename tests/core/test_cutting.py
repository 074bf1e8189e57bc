"""Segments that leave, in pieces that the listener and the path take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.cutting import cut
from ipmasq.core.direction import Direction
from ipmasq.core.helper import Speaker
from ipmasq.core.runs import Run
from ipmasq.core.stream import Replacement, Stream
from ipmasq.wire.tcp import CWR, Segment
from tests.core.conversation import (
    ACK,
    FIN,
    PSH,
    RST,
    URG,
    Conversation,
    Side,
)
from tests.core.rewriting import PORT, rewritten


@pytest.mark.row("SEQ-2", "3027-4.1b")
def test_a_full_segment_that_grows_is_split() -> None:
    talk = Conversation(mss=536).open()
    filler = b"NOOP\r\n" * 80
    text = filler + PORT
    assert len(text) <= 536
    text = b"NOOP " + b"x" * (536 - len(text) - 7) + b"\r\n" + text
    assert len(text) == 536
    outcome = talk.client(text)
    assert len(outcome.spans[0][1]) == 536
    assert len(outcome.spans) == 2
    assert all(each.size <= 576 for each in outcome.through)
    assert outcome.spans[1][0] == 536
    assert outcome.payload.startswith(text[:-20])
    assert outcome.through[0].segment.flags & PSH == 0
    assert outcome.through[1].segment.flags & PSH


@pytest.mark.row("SEQ-8")
@pytest.mark.parametrize("flag", [FIN, RST])
def test_fin_and_rst_after_a_rewrite_stand_at_the_exact_place(flag: int) -> None:
    talk = Conversation().open()
    after, _ = rewritten(talk)
    ((start, payload),) = talk.client(b"", flags=ACK | flag).spans
    assert (start, payload) == (len(after), b"")


@pytest.mark.row("SEQ-8")
def test_a_fin_that_carries_the_rewritten_line_follows_it() -> None:
    talk = Conversation().open()
    outcome = talk.client(PORT, flags=ACK | PSH | FIN)
    assert outcome.one.segment.flags & FIN
    talk.said[Side.INSIDE] += 1
    talk.heard[Side.OUTSIDE] = len(outcome.payload) + 1
    assert talk.acked(talk.server(b"").one, Side.INSIDE) == len(PORT) + 1


@pytest.mark.row("6384-5urg", "A-19")
@pytest.mark.parametrize(("pointer", "moved"), [(3, True), (19, True), (22, True), (0, False)])
def test_the_urgent_pointer_moves_with_the_bytes(pointer: int, moved: bool) -> None:
    talk = Conversation().open()
    text = PORT + b"ABOR\r\n"
    outcome = talk.client(text, flags=ACK | PSH | URG, urgent=pointer)
    seen = outcome.one.segment
    if not moved:
        assert not seen.flags & URG
        return
    delta = len(outcome.payload) - len(text)
    assert seen.flags & URG
    assert seen.urgent == (pointer if pointer <= 5 else pointer + delta)


def ends(said: bytes, edited: bytes, mss: int) -> tuple[Direction, Direction]:
    """Two directions; in one of them `said` has become `edited`."""
    me, other = Direction(Speaker.CLIENT), Direction(Speaker.SERVER)
    me.stream = Stream(100, 1 << 16)
    me.stream.arrive(0, said)
    me.stream.decide(len(said), (Replacement(0, len(said), edited),) if said else ())
    other.end.mss = mss
    return me, other


def segment(flags: int, urgent: int = 0) -> Segment:
    return Segment(1, 2, 100, 7, flags, 60000, 0, urgent, b"")


@given(st.binary(min_size=1, max_size=3000), st.integers(88, 1460), st.booleans())
def test_pieces_carry_every_byte_once_and_none_is_larger_than_the_listener_takes(
    edited: bytes, mss: int, ends_there: bool
) -> None:
    me, other = ends(b"x", edited, mss)
    assert me.stream is not None
    if ends_there:
        me.stream.end = 1
    flags = ACK | PSH | CWR | (FIN if ends_there else 0)
    sent = cut(me, other, segment(flags), 0, [Run(0, edited)], 1, None)
    assert b"".join(each.payload for each in sent) == edited
    assert all(len(each.payload) <= mss for each in sent)
    starts = [each.segment.sequence - 100 for each in sent]
    assert starts == [sum(len(e.payload) for e in sent[:n]) for n in range(len(sent))]
    assert [bool(each.segment.flags & PSH) for each in sent] == [False] * (len(sent) - 1) + [True]
    assert [bool(each.segment.flags & CWR) for each in sent] == [True] + [False] * (len(sent) - 1)
    assert [e.segment.flags & FIN for e in sent][-1] == (FIN if ends_there else 0)
    assert not any(each.segment.flags & FIN for each in sent[:-1])


def test_a_fin_waits_for_the_bytes_before_it() -> None:
    me, other = ends(b"x", b"abc", 1460)
    assert me.stream is not None
    me.stream.end = 9
    (sent,) = cut(me, other, segment(ACK | FIN), 0, [Run(0, b"abc")], 1, None)
    assert not sent.segment.flags & FIN


def test_the_urgent_pointer_is_moved_with_its_byte_and_no_other_piece_has_one() -> None:
    me, other = ends(b"x", bytes(200), 88)
    sent = cut(me, other, segment(ACK | URG, urgent=1), 0, [Run(0, bytes(200))], 1, None)
    pointers = [e.segment.urgent for e in sent if e.segment.flags & URG]
    assert pointers[0] == 200
    assert pointers == [200 - at for at in range(0, 200, len(sent[0].payload))]


def test_a_segment_without_payload_is_one_segment() -> None:
    me, other = ends(b"", b"", 1460)
    (sent,) = cut(me, other, segment(ACK), 0, [Run(5, b"")], 0, None)
    assert (sent.segment.sequence, sent.payload) == (105, b"")
