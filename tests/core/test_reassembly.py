"""Datagrams from fragments, however they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.reasons import Reason
from ipmasq.core.reassembly import LARGEST, MOST_PIECES, SHARES, Datagram, Reassembled, Reassembly
from ipmasq.core.side import Side
from ipmasq.wire import ipv4
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import DF, MF, UDP
from tests.conformance.world import IN1, IN2, OUT1


def add(reassembly: Reassembly, data: bytes, side: Side = Side.INSIDE, note: object = None):
    header = ipv4.read(data)
    assert header is not None
    answer = reassembly.add(Packet(bytearray(data), note=note), header, side, 15.0)
    return answer.packet if isinstance(answer, Reassembled) else answer


@given(
    payload=st.binary(min_size=9, max_size=400),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    data=st.data(),
)
def test_fragments_in_any_order_with_repetitions_become_the_datagram(payload, sizes, data):
    whole = packets.udp(IN1, 5, OUT1, 53, payload, fragment=0)
    pieces = packets.fragments(whole, *(8 * size for size in sizes))
    order = data.draw(st.permutations(pieces))
    again = (
        data.draw(st.lists(st.sampled_from(order[:-1] or order), max_size=4)) if order[1:] else []
    )
    reassembly = Reassembly(8)
    if len(pieces) == 1:
        return
    for piece in [*order[:-1], *again]:
        assert not isinstance(add(reassembly, piece), Packet)
    last = add(reassembly, order[-1], note="last")
    assert isinstance(last, Packet)
    assert bytes(last.data) == whole
    assert last.note == "last"
    assert len(reassembly) == 0


def test_datagrams_of_other_sources_sides_protocols_and_identifications_stay_apart():
    reassembly = Reassembly(16)
    first, second = packets.fragments(packets.udp(IN1, 5, OUT1, 53, bytes(64), fragment=0), 16)
    assert isinstance(add(reassembly, first), Datagram)
    for odd in (
        packets.ip(IN2, OUT1, UDP, second[20:], fragment=2),
        packets.ip(IN1, OUT1, 6, second[20:], fragment=2),
        packets.ip(IN1, OUT1, UDP, second[20:], fragment=2, identification=8),
    ):
        assert isinstance(add(reassembly, odd), Datagram)
    assert isinstance(add(reassembly, second, Side.OUTSIDE), Datagram)
    assert len(reassembly) == 5
    assert isinstance(add(reassembly, second), Packet)


def begun(source: bytes, number: int) -> bytes:
    return packets.ip(source, OUT1, UDP, bytes(8), fragment=MF, identification=number)


def test_one_source_has_its_share_of_datagrams_and_no_more():
    reassembly = Reassembly(2 * SHARES)
    for number in range(2):
        assert isinstance(add(reassembly, begun(IN1, number)), Datagram)
    assert add(reassembly, begun(IN1, 2)) is Reason.FRAGMENT_LIMIT
    assert isinstance(add(reassembly, begun(IN2, 2)), Datagram)


def test_where_all_places_are_taken_the_oldest_datagram_gives_way():
    reassembly = Reassembly(SHARES)
    sources = [IN1[:3] + bytes((number,)) for number in range(SHARES + 1)]
    datagrams = [add(reassembly, begun(source, 1)) for source in sources]
    assert len(reassembly) == SHARES
    oldest, *others = datagrams
    assert isinstance(oldest, Datagram)
    assert not reassembly.forget(oldest)
    assert all(isinstance(each, Datagram) and reassembly.forget(each) for each in others)


def test_a_datagram_has_only_so_many_pieces():
    reassembly = Reassembly(8)
    for piece in range(MOST_PIECES + 1):
        more = packets.ip(IN1, OUT1, UDP, bytes(8), fragment=MF | 2 * piece, identification=0)
        answer = add(reassembly, more)
    assert answer is Reason.FRAGMENT_LIMIT
    assert len(reassembly) == 0


@pytest.mark.row("A-32")
@pytest.mark.parametrize("options", [0, 4, 40])
@pytest.mark.parametrize("first_comes", ["first", "last"])
def test_a_datagram_is_at_most_65535_bytes_long_with_the_header_of_its_first_fragment(
    options, first_comes
):
    room = LARGEST - 20 - options
    for end in (room, room + 1):
        at = room // 8 * 8 - 64
        begin = packets.ip(IN1, OUT1, UDP, bytes(at), fragment=MF, options=bytes([1] * options))
        rest = packets.ip(IN1, OUT1, UDP, bytes(end - at), fragment=at // 8)
        reassembly = Reassembly(8)
        order = (begin, rest) if first_comes == "first" else (rest, begin)
        add(reassembly, order[0])
        whole = add(reassembly, order[1])
        if end == room:
            assert isinstance(whole, Packet)
            assert len(whole.data) == LARGEST
        else:
            assert not isinstance(whole, Packet)


def test_a_repeated_first_fragment_changes_no_header():
    reassembly = Reassembly(8)
    add(reassembly, packets.ip(IN1, OUT1, UDP, bytes(8), fragment=MF))
    again = packets.ip(IN1, OUT1, UDP, bytes(8), fragment=MF, options=bytes([1] * 40))
    assert add(reassembly, again) is Reason.HELD
    whole = add(reassembly, packets.ip(IN1, OUT1, UDP, bytes(8), fragment=1))
    assert isinstance(whole, Packet)
    assert len(whole.data) == 36


def test_flags_of_the_first_fragment_are_kept_but_for_those_of_fragments():
    reassembly = Reassembly(2)
    add(reassembly, packets.ip(IN1, OUT1, UDP, bytes(8), fragment=MF | DF, tos=4))
    whole = add(reassembly, packets.ip(IN1, OUT1, UDP, bytes(8), fragment=1))
    assert isinstance(whole, Packet)
    assert bytes(whole.data[6:8]) == DF.to_bytes(2, "big")
    assert whole.data[1] == 4


def test_a_datagram_that_was_given_up_is_forgotten_once():
    reassembly = Reassembly(2)
    datagram = add(reassembly, packets.ip(IN1, OUT1, UDP, bytes(8), fragment=MF))
    assert isinstance(datagram, Datagram)
    assert len(reassembly) == 1
    assert reassembly.forget(datagram)
    assert len(reassembly) == 0
    assert not reassembly.forget(datagram)


def test_what_is_whole_or_given_up_leaves_room_for_others():
    reassembly = Reassembly(1)
    for number in range(5):
        first = packets.ip(IN1, OUT1, UDP, bytes(8), fragment=MF, identification=number)
        last = packets.ip(IN1, OUT1, UDP, bytes(8), fragment=1, identification=number)
        assert isinstance(add(reassembly, first), Datagram)
        assert isinstance(add(reassembly, last), Packet)
        given_up = add(reassembly, first)
        assert isinstance(given_up, Datagram)
        assert reassembly.forget(given_up)


def test_the_timer_of_an_earlier_datagram_does_not_touch_a_later_one_of_the_same_name():
    reassembly = Reassembly(1)
    first = packets.ip(IN1, OUT1, UDP, bytes(8), fragment=MF)
    earlier = add(reassembly, first)
    assert isinstance(add(reassembly, packets.ip(IN1, OUT1, UDP, bytes(8), fragment=1)), Packet)
    add(reassembly, first)
    assert not reassembly.forget(earlier)
    assert len(reassembly) == 1


@pytest.mark.row("4787-14a")
def test_a_flood_of_one_side_leaves_the_datagrams_of_the_other_alone():
    reassembly = Reassembly(SHARES)
    floods = [
        add(
            reassembly,
            packets.ip(OUT1, IN1, UDP, bytes(8), fragment=2, identification=number),
            Side.OUTSIDE,
        )
        for number in range(2)
    ]
    assert floods[1] is Reason.FRAGMENT_LIMIT
    first, second = packets.fragments(packets.udp(IN1, 5, OUT1, 53, bytes(64), fragment=0), 16)
    add(reassembly, first)
    assert isinstance(add(reassembly, second), Packet)
