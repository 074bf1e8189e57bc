"""Segments that leave, however large what came in was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.cutting import cut
from ipmasq.core.direction import Direction
from ipmasq.core.helper import Speaker
from ipmasq.core.runs import Run
from ipmasq.core.stream import Replacement, Stream
from ipmasq.wire.tcp import ACK, CWR, FIN, PSH, URG, Segment


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
