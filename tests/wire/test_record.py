"""What captures hold, and where reading one stops."""

from __future__ import annotations

import io
import struct

import pytest

from ipmasq.wire.record import CaptureError, Cursor
from tests.wire.captures import interface, packet, read, section


@pytest.mark.parametrize(
    ("data", "words", "position"),
    [
        (b"", "ends within the file header", 0),
        (b"GIF89a..", "neither a pcap nor a pcapng", 0),
        (section("<") + packet("<", 0, 0, b""), "interface 0, never described", 28),
        (section("<") + struct.pack("<II", 1, 13) + b"x", "length of 13", 28),
        (section("<") + interface("<")[:-4] + b"\x15\0\0\0", "lengths differ", 28),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "byte-order magic", 0),
    ],
)
def test_damage_is_named_with_its_place(data: bytes, words: str, position: int) -> None:
    with pytest.raises(CaptureError, match=words) as caught:
        read(data)
    assert caught.value.position == position


class Dripping(io.BytesIO):
    """A pipe that gives a byte at a time."""

    def read(self, count: int | None = -1, /) -> bytes:
        return super().read(min(1, count or 0))


def test_a_stream_that_drips_is_read_exactly():
    cursor = Cursor(Dripping(b"abcdef"))
    assert cursor.take(4, "it") == b"abcd"
    assert cursor.position == 4
    assert cursor.at_end_or_take(2, "it") == b"ef"
    assert cursor.at_end_or_take(2, "it") is None


def test_the_end_of_a_file_is_one_only_between_its_parts():
    cursor = Cursor(io.BytesIO(b"abc"))
    with pytest.raises(CaptureError, match=r"within a part \(at byte 3\)"):
        cursor.at_end_or_take(4, "a part")
    cursor = Cursor(io.BytesIO(b""))
    with pytest.raises(CaptureError, match=r"within a part \(at byte 0\)"):
        cursor.take(1, "a part")
