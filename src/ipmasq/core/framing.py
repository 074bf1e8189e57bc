"""A stream cut into messages, at their true positions.

A `Framer` says where a message ends; the helper of a flow chooses it. A `MessageReader` does everything else: it
takes bytes as they come, remembers how many of them have been forwarded already, and passes over messages that are
too long.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Framer(Protocol):
    """How a protocol cuts what one end says into messages. It keeps no state: one framer serves both directions."""

    @property
    def longest(self) -> int:
        """Bytes of the longest message that is shown to the helper. A longer one passes unseen."""

    @property
    def overlap(self) -> int | None:
        """How many bytes that were searched in vain must be searched again together with later ones. None if the
        start of a message cannot be found from the middle of a stream: then the helper inspects only connections
        that it has seen from their first byte on."""

    def end(self, data: bytes | bytearray, searched: int) -> int:
        """Where the message ends that `data` begins with; 0 if that cannot be told yet. It may be beyond the
        bytes that are there. The first `searched` bytes need not be searched again. Raises ValueError if no
        message begins like this: then the helper looks no further."""

    def count(self, data: bytes) -> int:
        """How many messages may end in `data`, at most, wherever in the stream it stands."""

    def end_of(self, data: bytes, count: int) -> int:
        """How many of the first bytes of `data` may be taken so that at most `count` messages end in them. It is
        asked only if `data` may have more."""


class Lines(NamedTuple):
    """Messages that end with `terminator`. `longest` is in bytes and includes the terminator."""

    terminator: bytes
    longest: int

    @property
    def overlap(self) -> int:
        return len(self.terminator) - 1

    def end(self, data: bytes | bytearray, searched: int) -> int:
        at = data.find(self.terminator, searched)
        return 0 if at < 0 else at + len(self.terminator)

    def count(self, data: bytes) -> int:
        """A terminator may have begun before these bytes, so only its last byte counts."""
        return data.count(self.terminator[-1:])

    def end_of(self, data: bytes, count: int) -> int:
        end = 0
        for _ in range(count):
            end = data.index(self.terminator[-1:], end) + 1
        return end


class Message(NamedTuple):
    """A complete message, such as a line with its terminator.

    `passed`  how many of its first bytes have been forwarded already, and cannot be changed.
    `whole`   False for the end of a message that was too long, or whose beginning was not seen.
    """

    text: bytes
    position: int
    passed: int
    whole: bool


class MessageReader:
    """Takes bytes as they come, gives messages. Keeps at most the `longest` that its framer shows."""

    def __init__(self, framer: Framer, position: int = 0, at_start: bool = True) -> None:
        """`at_start`: whether `position`, where reading begins, is the start of a message."""
        self._framer = framer
        self._position = position
        self._skipping = not at_start
        self._buffer = bytearray()
        self._passed = 0
        self._searched = 0
        self._end = 0
        """Where the message in the buffer ends, if that is known and it is not complete."""

    @property
    def partial(self) -> bytes | None:
        """The beginning of a message that is not complete; None if that message will not be shown."""
        return None if self._skipping else bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Message | None:
        """The next complete message; None if there is none yet. Raises what the framer raises."""
        buffer = self._buffer
        if not buffer:
            return None
        end = self._end or self._framer.end(buffer, self._searched)
        if not 0 < end <= len(buffer):
            self._await(end)
            return None
        whole = not self._skipping and end <= self._framer.longest
        passed = self._passed if self._passed < end else end
        message = Message(bytes(buffer[:end]), self._position, passed, whole)
        self._drop(end)
        self._skipping = False
        return message

    def _await(self, end: int) -> None:
        """The message in the buffer is not complete; it will end at `end`, or that is unknown (0)."""
        self._end = end
        self._searched = max(0, len(self._buffer) - (self._framer.overlap or 0))
        if max(end, len(self._buffer)) > self._framer.longest:
            self._skipping = True

    def pass_on(self) -> None:
        """All bytes of the incomplete message have been forwarded."""
        self._passed = len(self._buffer)
        if self._skipping:
            self._drop(self._passed if self._end else self._searched)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._position += count
        self._searched = 0
        if self._passed:
            self._passed = max(0, self._passed - count)
        if self._end:
            self._end = max(0, self._end - count)
