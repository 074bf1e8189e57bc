"""Splits a stream into messages, at their true positions.

A `Framer` says where a message ends; the helper of a flow chooses it. A `MessageReader` does everything else:
it takes bytes as they arrive, remembers how many of them were forwarded already, and skips messages that are
too long.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ipmasq.core.plain import Fields, Plain


class Framer(Protocol):
    """Splits what one end sends into messages. It keeps no state, so one framer serves both directions."""

    @property
    def longest(self) -> int:
        """Bytes of the longest message that is given to the helper. A longer one passes without inspection."""

    @property
    def overlap(self) -> int | None:
        """The number of bytes that must be searched again together with later ones. None if the beginning of
        a message cannot be found in the middle of a stream; then the helper inspects only connections that
        were seen from their first byte on."""

    def end(self, data: bytes | bytearray, searched: int) -> int:
        """Return the end of the message at the beginning of `data`; 0 if it is not known yet. It may be
        beyond the present bytes. The first `searched` bytes need not be searched again. Raises ValueError if
        no message begins like this; then inspection ends."""

    def count(self, data: bytes) -> int:
        """Return the most messages that may end in `data`, wherever in the stream it is."""

    def end_of(self, data: bytes, count: int) -> int:
        """Return how many of the first bytes of `data` have at most `count` ends of messages. It is called
        only if `data` may have more."""


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
    """Takes bytes as they arrive and returns messages. It keeps at most the framer's `longest`."""

    def __init__(self, framer: Framer, position: int = 0, at_start: bool = True) -> None:
        """`at_start`: whether `position`, where reading begins, is the beginning of a message."""
        self._framer = framer
        self._position = position
        self._skipping = not at_start
        self._buffer = bytearray()
        self._passed = 0
        self._searched = 0
        self._end = 0
        """The end of the incomplete message in the buffer, if it is known."""

    def to_state(self) -> Plain:
        """Return it as plain values."""
        return {
            "position": self._position,
            "skipping": self._skipping,
            "buffer": bytes(self._buffer),
            "passed": self._passed,
            "searched": self._searched,
            "end": self._end,
        }

    @classmethod
    def from_state(cls, state: Fields, framer: Framer) -> MessageReader:
        """Return the reader of a state. Raises StateError."""
        made = cls(framer, state.integer("position"), not state.boolean("skipping"))
        made._buffer += state.blob("buffer")
        made._passed = state.integer("passed", 0, len(made._buffer))
        made._searched = state.integer("searched", 0, len(made._buffer))
        made._end = state.integer("end")
        return made

    @property
    def partial(self) -> bytes | None:
        """Return the beginning of an incomplete message; None if that message will not be given to the
        helper."""
        return None if self._skipping else bytes(self._buffer)

    @property
    def passed(self) -> int:
        """Bytes of the incomplete message that are kept although they have been forwarded."""
        return self._passed

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Message | None:
        """Return the next complete message, or None if there is none yet. Raises what the framer raises."""
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
        """Record that the message in the buffer is incomplete; it ends at `end`, or that is unknown (0)."""
        self._end = end
        self._searched = max(0, len(self._buffer) - (self._framer.overlap or 0))
        if max(end, len(self._buffer)) > self._framer.longest:
            self._skipping = True

    def pass_on(self) -> None:
        """Record that all bytes of the incomplete message were forwarded."""
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
