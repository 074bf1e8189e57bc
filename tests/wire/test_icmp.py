"""ICMP messages and their checksum."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire import icmp
from tests.conformance import packets

ENDS = bytes((10, 0, 0, 2)), bytes((198, 51, 100, 1))


@given(st.binary(max_size=64), st.integers(0, 7), st.integers(1, 255))
def test_a_message_is_intact_until_a_byte_of_it_changes(body: bytes, at: int, bits: int):
    message = bytearray(packets.echo(*ENDS, 7, body)[20:])
    assert icmp.is_intact(message)
    message[at] ^= bits
    assert not icmp.is_intact(message)


@given(st.binary(min_size=8, max_size=64))
def test_a_checksum_that_is_set_makes_any_message_intact(data: bytes):
    message = bytearray(b"\x08" + data)
    icmp.set_checksum(message)
    assert icmp.is_intact(message)
    assert (message[:2], message[4:]) == (b"\x08" + data[:1], data[3:])


def test_errors_are_those_that_have_a_meaning_across_a_nat():
    assert set(packets.ERRORS) - icmp.ERRORS == {icmp.SOURCE_QUENCH, icmp.REDIRECT}
