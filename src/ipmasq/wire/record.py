"""The content of a capture file, independent of its format."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

NANOSECONDS = 1_000_000_000
MOST = 1 << 24
"""The most bytes that a block or packet may have. A larger length is damage."""


class CaptureError(Exception):
    """The file is not a capture, or is damaged. `position` is the byte at which reading stopped."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at byte {position})")
        self.position = position


class Interface(NamedTuple):
    """The interface at which packets were captured. `name` is empty if the file does not say; `link` is a
    link type as registered at tcpdump.org/linktypes; `snap` is the most bytes kept of a packet, 0 for all."""

    name: str
    link: int
    snap: int = 0


class Record(NamedTuple):
    """One packet. `at` is in nanoseconds since 1970 (an int, since a float cannot hold them). `length` is the
    number of bytes on the wire, of which `data` may be only the first."""

    at: int
    interface: Interface
    data: bytes
    length: int
    comments: tuple[str, ...] = ()


class Cursor:
    """A stream that is read exactly, and that knows its position (pipes do not)."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.position = 0

    def take(self, count: int, what: str) -> bytes:
        """Return `count` bytes. Raises CaptureError if the file ends before."""
        data = self.most(count)
        if len(data) < count:
            end = self.position + len(data)
            raise CaptureError(f"the file ends within {what}", end)
        self.position += count
        return data

    def at_end_or_take(self, count: int, what: str) -> bytes | None:
        """Return `count` bytes, or None if the file ends exactly here. Raises CaptureError if it ends
        between."""
        data = self.most(count)
        if not data:
            return None
        if len(data) < count:
            raise CaptureError(f"the file ends within {what}", self.position + len(data))
        self.position += count
        return data

    def most(self, count: int) -> bytes:
        """Return up to `count` bytes without moving the position; fewer only at the end."""
        parts = []
        while count and (part := self._source.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
