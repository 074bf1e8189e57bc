"""Captures, against scapy and tshark."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.wire import capture
from ipmasq.wire.record import CaptureError, Interface, Record
from tests.wire.captures import read, written


def read_until_error(data: bytes) -> tuple[list[Record], CaptureError | None]:
    found = []
    try:
        for record in capture.read(io.BytesIO(data)):
            found.append(record)
    except CaptureError as error:
        return found, error
    return found, None


def pcapng_sample() -> bytes:
    return written(
        Record(1, Interface("a", 1), b"abc", 3, ("x",)), Record(2, Interface("b", 1), b"defgh", 5)
    )


def pcap_sample() -> bytes:
    header = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return header + b"".join(struct.pack("<IIII", 1, n, 3, 3) + b"abc" for n in range(2))


@pytest.mark.parametrize("sample", [pcapng_sample(), pcap_sample()], ids=["pcapng", "pcap"])
def test_a_capture_cut_at_any_byte_gives_what_was_before_and_says_where_it_ends(
    sample: bytes,
) -> None:
    whole = read(sample)
    clean_ends = 0
    for end in range(len(sample)):
        found, error = read_until_error(sample[:end])
        assert found == whole[: len(found)]
        if error is None:
            clean_ends += 1
        else:
            assert error.position == end
            assert f"at byte {end}" in str(error)
    # Only where a block or packet ends may a file end.
    assert clean_ends <= 5


@given(st.data())
def test_a_damaged_capture_raises_nothing_but_capture_errors(data: st.DataObject) -> None:
    sample = bytearray(data.draw(st.sampled_from((pcapng_sample(), pcap_sample()))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(sample) - 1))
        sample[at] = data.draw(st.integers(0, 255))
    found, _ = read_until_error(bytes(sample))
    written(*found)  # What was read can be written.
