"""Entries are authentic, of this group and new, or they are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.continuity.authentic import Entry, Refusal, RefusedError, Seal, Sequence

KEY = b"a secret of sixteen bytes or more"
SEAL = Seal(KEY, "office", "records")
ENTRY = Entry("one", 3, 1, b"payload")


def refusal_of(data: bytes, seal: Seal = SEAL) -> Refusal:
    with pytest.raises(RefusedError) as caught:
        seal.read(data)
    return caught.value.refusal


def test_an_entry_is_read_as_it_was_written():
    assert SEAL.read(SEAL.write(ENTRY)) == ENTRY


@pytest.mark.row("A-40")
@given(st.integers(0, len(SEAL.write(ENTRY)) * 8 - 1))
def test_an_entry_with_any_other_bit_is_forged(bit: int):
    data = bytearray(SEAL.write(ENTRY))
    data[bit // 8] ^= 1 << bit % 8
    assert refusal_of(bytes(data)) is Refusal.FORGED


@pytest.mark.row("A-40")
@given(st.binary(max_size=80))
def test_any_other_bytes_are_forged(data: bytes):
    assert refusal_of(data) is Refusal.FORGED


@pytest.mark.row("A-40")
def test_an_entry_with_another_key_or_for_another_purpose_is_forged():
    for seal in (Seal(KEY + b"?", "office", "records"), Seal(KEY, "office", "votes")):
        assert refusal_of(seal.write(ENTRY)) is Refusal.FORGED


@pytest.mark.row("A-40")
def test_an_entry_of_another_group_with_the_same_key_is_foreign():
    assert refusal_of(Seal(KEY, "branch", "records").write(ENTRY)) is Refusal.FOREIGN


@pytest.mark.row("A-40")
def test_an_entry_is_admitted_once():
    sequence = Sequence()
    assert sequence.admit(ENTRY)
    with pytest.raises(RefusedError, match="replayed"):
        sequence.admit(ENTRY)


@pytest.mark.row("A-40")
def test_an_entry_of_an_earlier_lease_is_replayed():
    sequence = Sequence()
    sequence.admit(ENTRY)
    for entry in (Entry("one", 2, 9, b""), Entry("other", 3, 2, b"")):
        with pytest.raises(RefusedError, match="replayed"):
            sequence.admit(entry)
    assert sequence.admit(Entry("other", 4, 1, b""))


def test_a_missing_entry_is_noticed():
    sequence = Sequence()
    assert [sequence.admit(Entry("one", 1, number, b"")) for number in (1, 2, 4, 5)] == [
        True,
        True,
        False,
        True,
    ]
    assert not sequence.admit(Entry("one", 2, 2, b""))


def test_entries_that_are_read_again_are_admitted_again():
    sequence = Sequence()
    sequence.admit(ENTRY)
    sequence.rewind()
    assert sequence.admit(ENTRY)
