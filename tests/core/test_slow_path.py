"""Packets that are more than an ordinary one of an offloadable flow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.policy import Action, Rule
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import SYN, TCP, UDP
from tests.conformance.world import E1, IN1, OUT1, World
from tests.wire import six


def received(world: World, data: bytes, side: Side = Side.INSIDE) -> Reason:
    return world.engine.receive(Packet(bytearray(data)), side, world.now).reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"\x60" + bytes(39), Reason.UNSUPPORTED),
        (packets.udp(IN1, 1, OUT1, 2)[:19], Reason.MALFORMED),
        (packets.ip(IN1, OUT1, UDP, bytes(7)), Reason.MALFORMED),
        (packets.ip(IN1, OUT1, UDP, bytes(4) + b"\x00\x09" + bytes(2)), Reason.MALFORMED),
        (packets.ip(IN1, OUT1, TCP, bytes(19)), Reason.MALFORMED),
        (packets.ip(IN1, OUT1, 1, bytes(7)), Reason.MALFORMED),
        (packets.ip(IN1, OUT1, 47, bytes(8)), Reason.UNSUPPORTED),
        (packets.udp(IN1, 1, OUT1, 2, ttl=1), Reason.TTL_EXPIRED),
    ],
)
def test_what_is_no_whole_packet_of_a_known_protocol_is_dropped_and_counted(
    data: bytes, reason: Reason
):
    world = World()
    assert received(world, data) is reason
    assert world.engine.counts[reason] == 1
    assert world.flows == []


def test_a_header_with_a_wrong_checksum_is_dropped():
    data = bytearray(packets.udp(IN1, 1, OUT1, 2))
    data[10] ^= 1
    assert received(World(), bytes(data)) is Reason.BAD_CHECKSUM


@given(
    extensions=st.lists(
        st.builds(
            six.options,
            st.sampled_from((six.HOP_BY_HOP, six.ROUTING, six.FRAGMENT, six.DESTINATION_OPTIONS)),
            st.integers(0, 3),
        ),
        max_size=12,
    ),
    protocol=st.sampled_from((TCP, UDP, 58, 59)),
    size=st.integers(1, 400),
    side=st.sampled_from(Side),
)
def test_ipv6_is_dropped_and_counted_as_unsupported_whatever_it_carries(
    extensions, protocol, size, side
):
    """Also cut short, as long as its version can be told."""
    world = World()
    data = six.ip(bytes(16), bytes(16), protocol, bytes(60), extensions)[:size]
    assert received(world, data, side) is Reason.UNSUPPORTED
    assert world.engine.counts[Reason.UNSUPPORTED] == 1
    assert world.flows == []


def test_padding_of_the_link_is_not_forwarded():
    world = World()
    data = packets.udp(IN1, 5000, OUT1, 53)
    assert len(world.send(data + bytes(18)).one.data) == len(data)


def test_a_time_to_live_that_would_grow_too_large_is_no_packet():
    world = World(ttl_delta=1)
    assert received(world, packets.udp(IN1, 1, OUT1, 2, ttl=255)) is Reason.MALFORMED
    assert world.udp(IN1, 1, OUT1, 2, ttl=254).one.ttl == 255


def test_what_passes_untouched_loses_a_hop_and_nothing_else():
    world = World(rules=(Rule(Action.PASS),))
    data = packets.tcp(IN1, 5000, OUT1, 80, SYN, seq=7)
    passed = world.send(data).one
    assert passed.ttl == 63
    assert passed.data[12:] == data[12:]


def test_the_first_packet_of_a_flow_and_the_later_ones_leave_alike():
    world = World()
    first = world.udp(IN1, 5000, OUT1, 53)
    world.udp(OUT1, 53, *first.leaves_from(E1))
    later = world.udp(IN1, 5000, OUT1, 53)
    assert later.one.data == first.one.data, "by the slow path or not"
