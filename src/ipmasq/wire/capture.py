"""Reads captures of either format as one stream of records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from ipmasq.wire import pcap, pcapng
from ipmasq.wire.record import CaptureError, Cursor, Record


def read(source: BinaryIO) -> Iterator[Record]:
    """Yield the packets of a capture lazily. Packets already yielded stay valid when a later one raises
    CaptureError."""
    cursor = Cursor(source)
    magic = cursor.take(4, "the file header")
    if magic == pcapng.MAGIC:
        return pcapng.read(cursor)
    if magic in pcap.MAGICS:
        return pcap.read(cursor, magic)
    raise CaptureError("neither a pcap nor a pcapng file", 0)
