"""Segments of a stream that arrived early and wait for a gap to be filled."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.core.budget import Account
from ipmasq.core.framing import Framer
from ipmasq.core.plain import Fields

MOST_WAITING = 512
"""The most segments of one stream that wait for a gap to be filled."""


class WaitingSegments:
    __slots__ = ("_framer", "bytes", "messages", "segments")

    def __init__(self, framer: Framer) -> None:
        self._framer = framer
        self.segments: dict[int, bytes] = {}
        """Payloads by original position."""
        self.bytes = 0
        self.messages = 0
        """Messages that may end in them."""

    def add(self, position: int, data: bytes, received: int, limit: int, account: Account) -> bool:
        """Keep `data`, unless more is kept from this position on. Return False, and change nothing, if there is no
        room: it ends more than `limit` bytes after what was `received`, or there are too many."""
        if len(self.segments.get(position, b"")) >= len(data):
            return True
        far = position + len(data) - received > limit
        full = self.bytes + len(data) > limit or len(self.segments) >= MOST_WAITING
        if far or full or not account.has_room(len(data)):
            return False
        self._count(self.segments.pop(position, b""), -1)
        self._keep(position, data)
        return True

    def _keep(self, position: int, data: bytes) -> None:
        self._count(data, 1)
        self.segments[position] = data

    def _count(self, data: bytes, sign: int) -> None:
        self.bytes += sign * len(data)
        self.messages += sign * self._framer.count(data)

    def take(self, received: int) -> bytes:
        """Return bytes that follow what was received, and forget those that were received already."""
        for position in sorted(self.segments):
            if position > received:
                break
            data = self.segments.pop(position)
            self._count(data, -1)
            if position + len(data) > received:
                return data[received - position :]
        return b""

    def ranges(self) -> list[tuple[int, int]]:
        """Return the ranges of original positions that are kept, in order."""
        ranges: list[tuple[int, int]] = []
        for start, data in sorted(self.segments.items()):
            if ranges and start <= ranges[-1][1]:
                ranges[-1] = ranges[-1][0], max(ranges[-1][1], start + len(data))
            else:
                ranges.append((start, start + len(data)))
        return ranges

    def to_state(self) -> list[list[int | bytes]]:
        """Return them as plain values."""
        return [[position, data] for position, data in self.segments.items()]

    def restore(self, states: Iterator[Fields]) -> None:
        """Keep the segments of a state; there are none yet. Raises StateError."""
        for state in states:
            self._keep(state.integer(0), state.blob(1))

    def check(self) -> None:
        """Raise AssertionError unless both counts agree."""
        assert self.bytes == sum(map(len, self.segments.values()))
        assert self.messages == sum(map(self._framer.count, self.segments.values()))
