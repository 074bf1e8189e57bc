"""Which endpoints a packet names, and how two packets differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire.addresses import Endpoint, to_address
from ipmasq.wire.endpoints import differences, ends
from tests.conformance import packets
from tests.conformance.packets import ACK, ICMP, TCP, UDP

ONE, OTHER, PUBLIC = map(to_address, ("10.0.0.2", "198.51.100.1", "203.0.113.1"))


def test_the_endpoints_of_tcp_and_udp_have_its_ports():
    expected = Endpoint(ONE, 5000), Endpoint(OTHER, 53)
    assert ends(packets.udp(ONE, 5000, OTHER, 53)) == (UDP, *expected)
    assert ends(packets.tcp(ONE, 5000, OTHER, 53, ACK)) == (TCP, *expected)
    assert ends(packets.udp(ONE, 5000, OTHER, 53, options=b"\x01" * 4)) == (UDP, *expected)


def test_an_echo_has_its_identifier_on_both_ends():
    assert ends(packets.echo(ONE, OTHER, 7)) == (ICMP, Endpoint(ONE, 7), Endpoint(OTHER, 7))


def test_other_protocols_and_later_fragments_have_port_0():
    assert ends(packets.ip(ONE, OTHER, 47, bytes(8))) == (47, Endpoint(ONE, 0), Endpoint(OTHER, 0))
    _, later = packets.fragments(packets.udp(ONE, 5000, OTHER, 53, bytes(16), fragment=0), 8)
    assert ends(later) == (UDP, Endpoint(ONE, 0), Endpoint(OTHER, 0))


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_any_bytes_have_endpoints_and_differences_or_none(one: bytes, other: bytes):
    if ends(one) is None or ends(other) is None:
        assert differences(one, other) == ""
    assert differences(one, one) == ""


def test_changed_endpoints_and_shifted_numbers_are_named():
    before = packets.tcp(ONE, 5000, OTHER, 21, ACK, 100, 500)
    after = packets.tcp(PUBLIC, 61000, OTHER, 21, ACK, 103, 498)
    assert differences(before, after) == (
        "source 10.0.0.2:5000 -> 203.0.113.1:61000, sequence +3, acknowledgment -2"
    )


def test_a_number_that_means_nothing_is_no_difference():
    before = packets.tcp(ONE, 5000, OTHER, 21, packets.SYN, 100, 0)
    after = packets.tcp(ONE, 5000, OTHER, 21, packets.SYN, 100, 7)
    assert differences(before, after) == ""
