"""What a capture file holds, whichever format it is in."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

NANOSECONDS = 1_000_000_000
MOST = 1 << 24
"""Bytes that a block or packet may have; more is a damaged length, not a packet."""


class CaptureError(Exception):
    """The file is not a capture, or is damaged. `position`: the byte at which reading stopped."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at byte {position})")
        self.position = position


class Interface(NamedTuple):
    """Where packets were captured. `name` is empty if the file does not say; `link` is a link type
    as registered at tcpdump.org/linktypes; `snap`: most bytes kept of a packet, 0 for all."""

    name: str
    link: int
    snap: int = 0


class Record(NamedTuple):
    """One packet. `at`: nanoseconds since 1970 (an int, because a float of today keeps no nanoseconds).
    `length`: bytes that it had on the wire, of which `data` may be only the first."""

    at: int
    interface: Interface
    data: bytes
    length: int
    comments: tuple[str, ...] = ()


class Cursor:
    """A stream read exactly, that knows its position (pipes do not)."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.position = 0

    def take(self, count: int, what: str) -> bytes:
        """`count` bytes. Raises CaptureError where the file ends before."""
        data = self.most(count)
        if len(data) < count:
            end = self.position + len(data)
            raise CaptureError(f"the file ends within {what}", end)
        self.position += count
        return data

    def at_end_or_take(self, count: int, what: str) -> bytes | None:
        """None if the file ends exactly here."""
        data = self.most(count)
        if not data:
            return None
        if len(data) < count:
            raise CaptureError(f"the file ends within {what}", self.position + len(data))
        self.position += count
        return data

    def most(self, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the end. The position stays before them."""
        parts = []
        while count and (part := self._source.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
