"""The Internet checksum, against one that is computed word by word."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from ipmasq.wire import checksum
from tests.conformance import packets

even = st.integers(1, 40).flatmap(lambda half: st.binary(min_size=2 * half, max_size=2 * half))


@given(st.binary(max_size=200))
def test_a_checksum_is_that_of_the_words_one_by_one(data: bytes):
    """Of nothing but zeros the sum is 0; in ones' complement 0 and 0xFFFF are the same number."""
    found, expected = checksum.finish(checksum.fold(data)), packets.checksum(data)
    assert found % 0xFFFF == expected % 0xFFFF


@given(even)
def test_with_its_checksum_a_message_sums_up_to_all_ones(data: bytes):
    message = data + checksum.finish(checksum.fold(data)).to_bytes(2, "big")
    assert checksum.fold(message) == 0xFFFF


@given(st.data(), even)
def test_an_updated_checksum_is_that_of_the_changed_message(data: st.DataObject, before: bytes):
    rest = data.draw(even)
    after = data.draw(st.binary(min_size=len(before), max_size=len(before)))
    old = checksum.finish(checksum.fold(before + rest))
    new = checksum.update(old, before, after)
    assert (packets.checksum(after + rest + new.to_bytes(2, "big"))) % 0xFFFF == 0


@given(st.binary(min_size=12, max_size=12), st.binary(min_size=12, max_size=12))
def test_the_opposite_of_a_difference_is_that_of_the_change_back(before: bytes, after: bytes):
    assume(any(before) and any(after))
    there, back = checksum.difference(before, after), checksum.difference(after, before)
    assert checksum.opposite(there) == back
    assert checksum.opposite(back) == there


@given(even, even, st.integers(1, 0xFFFE))
def test_an_update_never_blesses_a_checksum_that_was_wrong(before: bytes, rest: bytes, by: int):
    after = bytes(byte ^ 0x55 for byte in before)
    wrong = (checksum.finish(checksum.fold(before + rest)) + by) & 0xFFFF
    assume(
        packets.checksum(before + rest + wrong.to_bytes(2, "big")) % 0xFFFF
    )  # not the other zero
    new = checksum.update(wrong, before, after)
    assert packets.checksum(after + rest + new.to_bytes(2, "big")) % 0xFFFF != 0


@given(
    st.sampled_from((4, 16)).flatmap(
        lambda size: st.tuples(*[st.binary(min_size=size, max_size=size)] * 2)
    ),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
)
def test_the_pseudo_header_is_summed_up_for_either_family(
    ends: tuple[bytes, bytes], protocol: int, length: int
):
    """Two bytes of zeros more or less, as IPv6 has them, change no sum."""
    expected = packets.checksum(packets.pseudo(*ends, protocol, length))
    found = checksum.finish(checksum.pseudo_header_sum(*ends, protocol, length))
    assert found % 0xFFFF == expected % 0xFFFF
