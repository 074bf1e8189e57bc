"""TCP (RFC 9293).

offset  0..1         2..3              4..7      8..11           12           13     14..15  16..17    18..19
field   source port  destination port  sequence  acknowledgment  offset|reserved  flags  window  checksum  urgent
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from ipmasq.wire.packet import Buffer

HEADER = 20
CHECKSUM = 16
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80

END, NOP, MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8

_FIXED = struct.Struct("!HHIIBBHHH")
_SEQ = 0xFFFFFFFF


class Segment(NamedTuple):
    """A TCP header, in host order. `options` are its raw option bytes, padded to a multiple of 4; `reserved`
    is the four bits beside the data offset (RFC 9293, 3.1)."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgment: int
    flags: int
    window: int
    checksum: int
    urgent: int
    options: bytes
    reserved: int = 0

    @property
    def length(self) -> int:
        """Length of the header in bytes."""
        return HEADER + len(self.options)


def read(data: bytes | Buffer) -> Segment | None:
    """Parse the header of the segment `data` (header and payload). Return None if the header is not whole."""
    if len(data) < HEADER:
        return None
    source, destination, sequence, ack, offset, flags, window, checksum, urgent = (
        _FIXED.unpack_from(data)
    )
    length = (offset >> 4) * 4
    if not HEADER <= length <= len(data):
        return None
    options = bytes(data[HEADER:length])
    return Segment(
        source,
        destination,
        sequence,
        ack,
        flags,
        window,
        checksum,
        urgent,
        options,
        offset & 0x0F,
    )


def write(segment: Segment, payload: bytes | Buffer = b"") -> bytearray:
    """Return header and payload, with the checksum field as given."""
    source, destination, sequence, ack, flags, window, checksum, urgent, options, reserved = segment
    offset = (HEADER + len(options)) // 4 << 4 | reserved
    data = bytearray(
        _FIXED.pack(
            *(source, destination, sequence & _SEQ, ack & _SEQ),
            *(offset, flags, window, checksum, urgent),
        )
    )
    data += options
    data += payload
    return data


def option(options: bytes, kind: int) -> bytes | None:
    """Return the value of the first option of this kind, or None."""
    at = 0
    while at < len(options) and options[at] != END:
        if options[at] == NOP:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):
            return None
        if options[at] == kind:
            return options[at + 2 : at + size]
        at += size
    return None


def map_sack(options: bytes, edge: Callable[[int, bool], int]) -> bytes:
    """Return the options with every SACK edge (RFC 2018) mapped by `edge(sequence, is_left)`.

    A block that becomes empty is removed and its bytes are filled with NOPs, so that the header keeps its
    length.
    """
    value = option(options, SACK)
    if value is None or len(value) % 8:
        return options
    blocks = b""
    for left, right in struct.iter_unpack("!II", value):
        new_left, new_right = edge(left, True), edge(right, False)
        if distance(new_left, new_right) > 0:
            blocks += struct.pack("!II", new_left, new_right)
    start = options.index(bytes((SACK, len(value) + 2)) + value)
    new = bytes((SACK, len(blocks) + 2)) + blocks if blocks else b""
    new += bytes((NOP,)) * (len(value) + 2 - len(new))
    return options[:start] + new + options[start + len(new) :]


def distance(start: int, end: int) -> int:
    """Return the bytes from sequence number `start` to `end`, negative if `end` is before it (modulo 2**32)."""
    return ((end - start + 0x80000000) & _SEQ) - 0x80000000


def advance(sequence: int, count: int) -> int:
    """Return the sequence number that is `count` bytes after `sequence`."""
    return (sequence + count) & _SEQ
