"""A stream cut into lines, at their true positions."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """A complete line, terminator included.

    `passed`  how many of its first bytes have been forwarded already, and cannot be changed.
    `whole`   False for the end of a line that was too long, or whose beginning was not seen.
    """

    text: bytes
    position: int
    passed: int
    whole: bool


class LineReader:
    """Takes bytes as they come, gives lines. Keeps at most `longest` bytes."""

    def __init__(
        self, terminator: bytes, longest: int, position: int = 0, at_start: bool = True
    ) -> None:
        """`at_start`: whether `position`, where reading begins, is the start of a line."""
        self._terminator = terminator
        self._longest = longest
        self._position = position
        self._skipping = not at_start
        self._buffer = bytearray()
        self._passed = 0
        self._searched = 0

    @property
    def partial(self) -> bytes | None:
        """The beginning of a line that is not complete; None if that line will not be shown."""
        return None if self._skipping else bytes(self._buffer)

    @property
    def passed(self) -> int:
        """Bytes that are kept of it although they have been forwarded."""
        return self._passed

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Line | None:
        """The next complete line; None if there is none yet."""
        if not self._buffer:
            return None
        at = self._buffer.find(self._terminator, self._searched)
        if at < 0:
            self._searched = max(0, len(self._buffer) - len(self._terminator) + 1)
            if len(self._buffer) > self._longest:
                self._skipping = True
            return None
        end = at + len(self._terminator)
        whole = not self._skipping and end <= self._longest
        line = Line(bytes(self._buffer[:end]), self._position, min(self._passed, end), whole)
        self._drop(end)
        self._skipping = False
        return line

    def pass_on(self) -> None:
        """All bytes of the incomplete line have been forwarded."""
        self._passed = len(self._buffer)
        if self._skipping:
            self._drop(self._searched)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._position += count
        self._passed = max(0, self._passed - count)
        self._searched = 0
