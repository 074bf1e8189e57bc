"""Captures in blocks (draft-ietf-opsawg-pcapng).

A file is sections; each begins with a header block that tells its byte order, then interfaces are
described, and packets name them by number. Blocks of other kinds are passed over.

block   type u32, length u32, body, length u32 again
option  code u16, length u16, value padded to a multiple of 4; code 0 ends
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from ipmasq.wire.record import MOST, NANOSECONDS, CaptureError, Cursor, Interface, Record

MAGIC = b"\x0a\x0d\x0d\x0a"
"""Type of a section header block, which reads the same in both byte orders."""
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET = 0x0A0D0D0A, 1, 2, 3, 6
COMMENT, IF_NAME, IF_TSRESOL, IF_TSOFFSET = 1, 2, 9, 14
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}


def read(cursor: Cursor) -> Iterator[Record]:
    """Yield the packets after MAGIC, which was read already. Raises CaptureError at the first damage.

    A packet without a time (simple packet block) gets the time of the packet before it.
    """
    section = _Section(cursor)
    at = 0
    while True:
        record = section.next(at)
        if record is None:
            return
        if record is not _NO_PACKET:
            at = record.at
            yield record


_NO_PACKET = Record(0, Interface("", 0), b"", 0)


class _Section:
    """The section that is being read: its byte order and its interfaces."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._start = 0
        self._begin()

    def next(self, at: int) -> Record | None:
        """Return the next block's packet, _NO_PACKET if it has none, or None at the end of the file."""
        self._start = self._cursor.position
        word = self._cursor.at_end_or_take(4, "a block header")
        if word is None:
            return None
        if word == MAGIC:
            self._begin()
            return _NO_PACKET
        (kind,) = struct.unpack(self._order + "I", word)
        body = self._body()
        try:
            return self._understand(kind, body, at)
        except (struct.error, IndexError) as error:
            raise CaptureError(f"a block of type {kind} is too short", self._start) from error

    def _begin(self) -> None:
        length = self._cursor.take(4, "a section header")
        magic = self._cursor.take(4, "a section header")
        if magic not in _ORDERS:
            raise CaptureError("a section header without its byte-order magic", self._start)
        self._order = _ORDERS[magic]
        self._interfaces: list[tuple[Interface, int, int]] = []
        version = self._rest(length, 12)[:2]
        if version != struct.pack(self._order + "H", 1):
            raise CaptureError("a section of an unknown version", self._start)

    def _body(self) -> bytes:
        return self._rest(self._cursor.take(4, "a block header"), 8)

    def _rest(self, word: bytes, already: int) -> bytes:
        """Return the body of a block of the length in `word`, of which `already` bytes were read."""
        (length,) = struct.unpack(self._order + "I", word)
        if length % 4 or not already + 4 <= length <= MOST:
            raise CaptureError(f"a block cannot have a length of {length}", self._start)
        body = self._cursor.take(length - already, "a block")
        if body[-4:] != word:
            raise CaptureError("a block whose two lengths differ", self._start)
        return body[:-4]

    def _understand(self, kind: int, body: bytes, at: int) -> Record:
        if kind == INTERFACE:
            self._interfaces.append(self._interface(body))
        elif kind == SIMPLE_PACKET:
            return self._simple(body, at)
        elif kind == PACKET:
            return self._packet(body, struct.unpack_from(self._order + "IIIII", body))
        elif kind == OLD_PACKET:
            number, _, *rest = struct.unpack_from(self._order + "HHIIII", body)
            return self._packet(body, (number, *rest))
        return _NO_PACKET

    def _interface(self, body: bytes) -> tuple[Interface, int, int]:
        link, _, snap = struct.unpack_from(self._order + "HHI", body)
        options = dict(self._options(body[8:]))
        resolution = options.get(IF_TSRESOL, b"\x06")[0]
        per_second = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        (offset,) = struct.unpack(self._order + "q", options.get(IF_TSOFFSET, bytes(8)))
        return Interface(_text(options.get(IF_NAME, b"")), link, snap), per_second, offset

    def _packet(self, body: bytes, fields: tuple[int, ...]) -> Record:
        number, high, low, captured, length = fields
        interface, per_second, offset = self._described(number)
        if captured > len(body) - 20:
            raise CaptureError("a packet that is longer than its block", self._start)
        at = (high << 32 | low) * NANOSECONDS // per_second + offset * NANOSECONDS
        if not 0 <= at < 1 << 64:
            raise CaptureError("a packet's time is before 1970 or after 2554", self._start)
        options = self._options(body[20 + (captured + 3 & ~3) :])
        comments = tuple(_text(value) for code, value in options if code == COMMENT)
        return Record(at, interface, body[20 : 20 + captured], length, comments)

    def _simple(self, body: bytes, at: int) -> Record:
        (length,) = struct.unpack_from(self._order + "I", body)
        interface, _, _ = self._described(0)
        captured = min(length, interface.snap or length)
        if captured > len(body) - 4:
            raise CaptureError("a packet that is longer than its block", self._start)
        return Record(at, interface, body[4 : 4 + captured], length)

    def _described(self, number: int) -> tuple[Interface, int, int]:
        if number >= len(self._interfaces):
            raise CaptureError(f"a packet of interface {number}, never described", self._start)
        return self._interfaces[number]

    def _options(self, data: bytes) -> list[tuple[int, bytes]]:
        found = []
        at = 0
        while at + 4 <= len(data):
            code, length = struct.unpack_from(self._order + "HH", data, at)
            if code == 0:
                break
            if at + 4 + length > len(data):
                raise CaptureError("an option that is longer than its block", self._start)
            found.append((code, data[at + 4 : at + 4 + length]))
            at += 4 + (length + 3 & ~3)
        return found


class Writer:
    """Writes one section, little-endian, in nanoseconds. An interface is described when it is first used."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._numbers: dict[Interface, int] = {}
        self._block(SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))

    def write(self, record: Record) -> None:
        """Write one packet. A comment of more than 64 KiB is truncated. Raises ValueError for a time before
        1970."""
        if record.at < 0:
            raise ValueError("a time before 1970")
        number = self._numbers.get(record.interface)
        if number is None:
            number = self._describe(record.interface)
        high, low = record.at >> 32, record.at & 0xFFFFFFFF
        body = struct.pack("<IIIII", number, high, low, len(record.data), record.length)
        options = [(COMMENT, comment.encode()[:0xFFFF]) for comment in record.comments]
        self._block(PACKET, body + _padded(record.data) + _pack_options(options))

    def _describe(self, interface: Interface) -> int:
        number = self._numbers[interface] = len(self._numbers)
        options = [(IF_TSRESOL, b"\x09")]
        if interface.name:
            options.insert(0, (IF_NAME, interface.name.encode()))
        body = struct.pack("<HHI", interface.link, 0, interface.snap)
        self._block(INTERFACE, body + _pack_options(options))
        return number

    def _block(self, kind: int, body: bytes) -> None:
        length = struct.pack("<I", len(body) + 12)
        self._target.write(struct.pack("<I", kind) + length + body + length)


def _pack_options(options: list[tuple[int, bytes]]) -> bytes:
    if not options:
        return b""
    packed = (struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    return b"".join(packed) + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _text(value: bytes) -> str:
    """Decode a string. Some writers end strings with a NUL, which the format does not allow."""
    return value.rstrip(b"\0").decode(errors="replace")
