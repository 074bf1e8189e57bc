"""A packet in fragments is the same packet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire.fragment import cut
from tests.conformance import packets
from tests.conformance.packets import DF, UDP
from tests.conformance.world import IN1, OUT1

RECORD_ROUTE = bytes((7, 7, 4, 0, 0, 0, 0))
ROUTER_ALERT = bytes((148, 4, 0, 0))


@given(
    payload=st.binary(min_size=1, max_size=3000),
    most=st.integers(28, 1600),
    flags=st.sampled_from((0, DF)),
)
def test_fragments_are_in_order_short_enough_and_make_the_packet_again(payload, most, flags):
    whole = packets.udp(IN1, 5, OUT1, 53, payload, fragment=flags)
    pieces = [bytes(each) for each in cut(bytearray(whole), most)]
    if len(whole) <= most:
        assert pieces == [whole]
        return
    for each in pieces:
        packets.read(each)
        assert len(each) <= most
        assert int.from_bytes(each[6:8], "big") & DF == flags
    assert pieces == sorted(pieces, key=lambda each: int.from_bytes(each[6:8], "big") & 0x1FFF)
    assert packets.joined(pieces)[20:] == whole[20:]


def test_no_fragment_is_longer_than_it_must_be_or_needlessly_short():
    pieces = cut(bytearray(packets.udp(IN1, 5, OUT1, 53, bytes(2992))), 1500)
    assert [len(each) for each in pieces] == [1500, 1500, 60]


@pytest.mark.parametrize("most", [0, 20, 27])
def test_a_length_for_which_there_is_no_room_gives_the_shortest_fragments(most):
    pieces = cut(bytearray(packets.udp(IN1, 5, OUT1, 53, bytes(16))), most)
    assert [len(each) for each in pieces] == [28, 28, 28]


def test_options_are_in_all_fragments_only_if_they_say_so():
    options = b"\1" + RECORD_ROUTE + ROUTER_ALERT
    whole = packets.ip(IN1, OUT1, UDP, bytes(64), options=options)
    first, second = (bytes(each) for each in cut(bytearray(whole), 64))
    packets.read(first)
    packets.read(second)
    assert first[20:32] == options
    assert second[20:32] == bytes([1] * 8) + ROUTER_ALERT


@given(options=st.binary(max_size=40).map(lambda text: text + bytes(-len(text) % 4)))
def test_any_options_leave_well_formed_fragments(options):
    whole = packets.ip(IN1, OUT1, UDP, bytes(64), options=options)
    for each in cut(bytearray(whole), 68):
        packets.read(bytes(each))
