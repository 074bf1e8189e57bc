"""Classic capture files (draft-ietf-opsawg-pcap), in either byte order, with micro- or nanoseconds."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ipmasq.wire.record import MOST, NANOSECONDS, CaptureError, Cursor, Interface, Record

MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""First four bytes -> byte order, nanoseconds per unit of the fraction."""


def read(cursor: Cursor, magic: bytes) -> Iterator[Record]:
    """Yield the packets after `magic`, which was read already. Raises CaptureError at the first damage."""
    order, unit = MAGICS[magic]
    header = cursor.take(20, "the file header")
    _, _, _, _, snap, link = struct.unpack(order + "HHIIII", header)
    # The upper half of the word describes frame check sequences; bytes behind the IP packet are ignored
    # anyway.
    interface = Interface("", link & 0xFFFF, snap)
    fields = struct.Struct(order + "IIII")
    while True:
        start = cursor.position
        header_or_none = cursor.at_end_or_take(16, "a packet header")
        if header_or_none is None:
            return
        seconds, fraction, captured, length = fields.unpack(header_or_none)
        if captured > MOST:
            raise CaptureError(f"a packet of {captured} bytes is no packet", start)
        data = cursor.take(captured, "a packet")
        yield Record(seconds * NANOSECONDS + fraction * unit, interface, data, length)
