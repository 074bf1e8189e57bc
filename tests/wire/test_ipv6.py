"""IPv6 headers and their extension headers, against the tests' own writer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire import ipv6
from ipmasq.wire.header import IPV6, Header
from tests.wire import six
from tests.wire.six import DESTINATION_OPTIONS, HOP_BY_HOP, ROUTING, UDP, fragment, ip, options

SOURCE, DESTINATION = bytes(range(16)), bytes(range(16, 32))
BODY = bytes(range(24))

units = st.integers(0, 3)
later = st.builds(options, st.sampled_from((ROUTING, DESTINATION_OPTIONS)), units)
first = st.lists(st.builds(options, st.just(HOP_BY_HOP), units), max_size=1)


def read(*extensions: six.Extension, protocol: int = UDP, body: bytes = BODY) -> Header | None:
    return ipv6.read(ip(SOURCE, DESTINATION, protocol, body, extensions))


@given(
    hop_by_hop=first,
    rest=st.lists(later, max_size=4),
    protocol=st.sampled_from((6, 17, 58, 59, 50, 253)),
    payload=st.binary(max_size=40),
    hop_limit=st.integers(0, 255),
    label=st.integers(0, (1 << 28) - 1),
    padding=st.binary(max_size=8),
)
def test_every_field_of_a_header_is_read(
    hop_by_hop, rest, protocol, payload, hop_limit, label, padding
):
    data = ip(SOURCE, DESTINATION, protocol, payload, hop_by_hop + rest, hop_limit, label)
    header = ipv6.read(data + padding)
    assert header == Header(
        *(len(data) - len(payload), len(data), 0, True, False, 0),
        *(hop_limit, protocol, SOURCE, DESTINATION, IPV6),
    )
    assert not header.is_fragment


@given(
    offset=st.integers(0, 0x1FFF).map(lambda eighths: 8 * eighths),
    more=st.booleans(),
    identification=st.integers(0, 0xFFFFFFFF),
    before=st.lists(later, max_size=2),
)
def test_a_fragment_is_one_by_its_offset_or_by_more_to_come(offset, more, identification, before):
    header = read(*before, fragment(offset, more, identification))
    assert header is not None
    assert (header.offset, header.more_fragments) == (offset, more)
    assert header.identification == identification
    assert header.is_fragment is (more or offset > 0), "RFC 6946: an atomic fragment is none"
    assert header.total - header.length == len(BODY)


def test_a_first_fragment_is_walked_to_its_transport_header():
    header = read(fragment(0, True, 7), options(DESTINATION_OPTIONS, 1))
    assert header is not None
    assert (header.protocol, header.total - header.length) == (UDP, len(BODY))


def test_what_is_in_a_later_fragment_is_not_taken_for_a_header():
    header = read(fragment(8, False, 7), protocol=DESTINATION_OPTIONS)
    assert header is not None
    assert (header.protocol, header.total - header.length) == (DESTINATION_OPTIONS, len(BODY))


@given(st.lists(later, min_size=1, max_size=3), st.data())
def test_a_packet_cut_short_anywhere_is_none(extensions, data):
    whole = ip(SOURCE, DESTINATION, UDP, BODY, extensions)
    assert ipv6.read(whole) is not None
    assert ipv6.read(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None


@pytest.mark.parametrize("kind", [ROUTING, DESTINATION_OPTIONS, six.FRAGMENT])
def test_an_extension_header_beyond_the_payload_length_is_none(kind: int):
    assert read((kind, bytes(7)), body=b"") is not None
    assert read(protocol=kind, body=bytes(7)) is None
    assert read(protocol=kind, body=b"") is None


def test_an_extension_header_longer_than_the_packet_is_none():
    assert read((ROUTING, bytes((3,)) + bytes(6)), body=bytes(24)) is not None
    assert read((ROUTING, bytes((3,)) + bytes(6)), body=bytes(23)) is None


def test_no_more_extension_headers_are_walked_than_a_packet_may_have():
    most = [options(DESTINATION_OPTIONS)] * ipv6.MOST_EXTENSIONS
    assert read(*most) is not None
    assert read(*most, options(DESTINATION_OPTIONS)) is None


def test_hop_by_hop_options_are_only_the_first():
    assert read(options(HOP_BY_HOP), options(ROUTING)) is not None
    assert read(options(ROUTING), options(HOP_BY_HOP)) is None


def test_a_fragment_is_not_in_a_fragment():
    assert read(fragment(0, True, 0), options(DESTINATION_OPTIONS)) is not None
    assert read(fragment(0, True, 0), fragment(0, True, 0)) is None


@pytest.mark.parametrize("version", [0, 4, 5, 7, 15])
def test_another_version_is_none(version: int):
    data = bytearray(ip(SOURCE, DESTINATION, UDP, BODY))
    assert ipv6.read(data) is not None
    data[0] = version << 4
    assert ipv6.read(data) is None


@given(st.binary(max_size=120), st.integers(0, 255), st.integers(0, 80))
def test_any_bytes_are_a_header_that_fits_in_them_or_none(data: bytes, kind: int, payload: int):
    forged = bytearray(data)
    if len(forged) >= 40:
        forged[0], forged[4:7] = 0x60, bytes((0, payload, kind))
    for each in (data, forged):
        header = ipv6.read(each)
        if header is not None:
            assert 40 <= header.length <= header.total <= len(each)
