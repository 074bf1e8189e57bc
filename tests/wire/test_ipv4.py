"""IPv4 headers, read and written, against the tests' own writer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire import ipv4
from ipmasq.wire.header import Header
from tests.conformance import packets
from tests.conformance.packets import DF, MF

addresses = st.binary(min_size=4, max_size=4)
options = st.integers(0, 10).flatmap(
    lambda words: st.binary(min_size=4 * words, max_size=4 * words)
)


@given(
    source=addresses,
    destination=addresses,
    protocol=st.integers(0, 255),
    payload=st.binary(max_size=40),
    ttl=st.integers(0, 255),
    identification=st.integers(0, 0xFFFF),
    flags=st.sampled_from((0, DF, MF)),
    offset=st.integers(0, 0x1FFF),
    options=options,
    padding=st.binary(max_size=8),
)
def test_every_field_of_a_header_is_read(
    source, destination, protocol, payload, ttl, identification, flags, offset, options, padding
):
    data = packets.ip(
        source,
        destination,
        protocol,
        payload,
        ttl=ttl,
        identification=identification,
        fragment=flags | offset,
        options=options,
    )
    header = ipv4.read(data + padding)
    assert header == Header(
        20 + len(options),
        len(data),
        identification,
        flags == DF,
        flags == MF,
        offset * 8,
        ttl,
        protocol,
        source,
        destination,
    )
    assert header.is_fragment == (flags == MF or offset > 0)
    assert ipv4.is_intact(data, header)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_header_that_fits_in_them_or_none(data: bytes):
    header = ipv4.read(data)
    if header is not None:
        assert 20 <= header.length <= header.total <= len(data)


@pytest.mark.parametrize(
    ("at", "byte"), [(0, 0x65), (0, 0x44), (0, 0x4F), (3, 19), (2, 1)], ids=lambda value: str(value)
)
def test_a_header_whose_version_or_lengths_make_no_sense_is_none(at: int, byte: int):
    data = bytearray(packets.ip(bytes(4), bytes(4), 17, bytes(8)))
    assert ipv4.read(data) is not None
    data[at] = byte
    assert ipv4.read(data) is None


@given(addresses, addresses, st.integers(0, 255), st.binary(max_size=40), st.integers(0, 255))
def test_what_is_written_is_what_the_tests_own_writer_writes(
    source: bytes, destination: bytes, protocol: int, payload: bytes, ttl: int
):
    assert ipv4.write(source, destination, protocol, payload, ttl, 7) == packets.ip(
        source, destination, protocol, payload, ttl=ttl
    )


@given(
    st.sampled_from((2, 4, 6, 8, 12, 14, 16, 18)), st.binary(min_size=2, max_size=2), st.booleans()
)
def test_a_replacement_keeps_a_right_checksum_right_and_a_wrong_one_wrong(
    offset: int, text: bytes, is_right: bool
):
    data = bytearray(packets.ip(bytes((10, 0, 0, 2)), bytes((198, 51, 100, 1)), 17, bytes(8)))
    data[11] ^= not is_right
    header = ipv4.read(data)
    assert header is not None
    ipv4.replace(data, offset, text)
    assert data[offset : offset + 2] == text
    assert ipv4.is_intact(data, header) is is_right
