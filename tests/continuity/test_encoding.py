"""Batches are read back as they were written; damage and foreign bytes are found."""

from __future__ import annotations

from math import pi
from zlib import crc32

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.continuity.batches import DamagedError, Part, pack, unpack
from ipmasq.continuity.encoding import CHECKSUM, FORMAT, decode, encode, moved
from ipmasq.core.changes import Kind, Record
from ipmasq.core.compact import pack_flow, pack_mapping
from ipmasq.core.plain import StateError
from tests.core.test_unrestored import START, talked

ROW = [1, -1, 2**63, pi, True, None, "text", b"\0\xff", [b"in", [None]], {"name": 0.5}]
RECORDS = [Record(Kind.FLOW, 7, ROW), Record(Kind.TRIGGER, "game", None)]


def test_records_are_read_back_with_their_moment() -> None:
    batch = decode(encode(12.5, 1.7e9, RECORDS))
    assert (batch.moment, batch.wall) == (12.5, 1.7e9)
    assert batch.changed.records == RECORDS


def test_a_batch_can_be_moved_to_another_moment() -> None:
    data = encode(12.5, 1.7e9, RECORDS)
    assert decode(moved(data, -3.0)) == decode(data)._replace(moment=-3.0)
    with pytest.raises(StateError):
        moved(data[:-1], -3.0)


def test_a_bit_that_is_flipped_anywhere_is_found() -> None:
    data = encode(12.5, 1.7e9, RECORDS)
    for at in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(StateError):
            decode(bytes(damaged))


def test_a_batch_that_is_cut_off_anywhere_is_found() -> None:
    data = encode(12.5, 1.7e9, RECORDS)
    for length in range(len(data)):
        with pytest.raises(StateError):
            decode(data[:length])


@given(st.binary())
def test_whatever_has_a_right_checksum_is_read_or_refused(body: bytes) -> None:
    with pytest.raises(StateError):
        decode(crc32(body).to_bytes(CHECKSUM, "big") + body)


@pytest.mark.parametrize(
    "record", [[3, [1], ["x"]], [{}, 1, ["x"]], [7, None, 1], [3, 1.5, None], [3, 1], 3, None]
)
def test_what_is_no_record_is_refused(record: object) -> None:
    body = msgpack.packb([FORMAT, 0.0, 0.0, [[3, 1, ["x"]], record]])
    with pytest.raises(StateError, match="another form"):
        decode(crc32(body).to_bytes(CHECKSUM, "big") + body)
    with pytest.raises(DamagedError):
        unpack(msgpack.packb((Part.CHANGES, record)))


@pytest.mark.parametrize(("kind", "damaged"), [(Kind.FLOW, b"\x07"), (Kind.MAPPING, b"\xff")])
def test_a_row_with_a_value_that_nothing_has_is_refused(kind: Kind, damaged: bytes) -> None:
    engine = talked()
    first = next(each for each in engine.records(START) if each.kind == kind)
    sound = pack(Part.CHANGES, [first])
    at = sound.index((pack_flow if kind == Kind.FLOW else pack_mapping)(first.row) or b"?")
    _, changed = unpack(sound)
    assert len(changed.flows.numbers) + len(changed.mappings.numbers) == 1
    with pytest.raises(DamagedError):
        unpack(sound[:at] + damaged + sound[at + 1 :])


def test_a_value_that_is_not_plain_is_refused() -> None:
    for value in (object(), 2**64):
        with pytest.raises(ValueError, match=r"integer|Integer|serialize"):
            encode(0.0, 0.0, [Record(Kind.FLOW, 1, value)])
