"""Datagrams in their packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire import ip, udp
from ipmasq.wire.header import Header
from tests.conformance import packets
from tests.wire import six

ONE, OTHER = bytes((10, 0, 0, 2)), bytes((198, 51, 100, 1))


def header_of(data: bytes) -> Header:
    header = ip.read(data)
    assert header is not None
    return header


@given(st.binary(max_size=40), st.sampled_from((b"", b"\x01" * 4)))
def test_the_payload_of_a_datagram_is_what_was_written(payload: bytes, options: bytes):
    data = packets.udp(ONE, 1, OTHER, 2, payload, options=options)
    assert udp.payloads(data, header_of(data)) == [payload]
    assert udp.end(data, header_of(data)) == len(data)


@given(st.binary(max_size=40))
def test_in_ipv6_as_well(payload: bytes):
    ends = (bytes(16), 1), (bytes(16), 2)
    data = six.ip(*(bytes(16), bytes(16)), six.UDP, six.datagram(*ends, payload))
    assert udp.payloads(data, header_of(data)) == [payload]


def test_what_is_behind_a_datagram_does_not_belong_to_it():
    data = packets.ip(ONE, OTHER, 17, bytes((0, 1, 0, 2, 0, 11, 0, 0)) + b"abcdef")
    assert udp.payloads(data, header_of(data)) == [b"abc"]
    assert udp.end(data, header_of(data)) == 31


@pytest.mark.parametrize(
    ("segment", "expected"),
    [(0, [b"abcde"]), (2, [b"ab", b"cd", b"e"]), (5, [b"abcde"]), (9, [b"abcde"])],
)
def test_a_packet_that_will_be_cut_is_several_datagrams(segment: int, expected: list[bytes]):
    data = packets.udp(ONE, 1, OTHER, 2, b"abcde")
    assert udp.payloads(data, header_of(data), segment) == expected


@given(st.binary(max_size=40))
def test_a_written_datagram_has_its_length(payload: bytes):
    written = udp.write(payload)
    assert written == bytes(4) + (8 + len(payload)).to_bytes(2, "big") + bytes(2) + payload
