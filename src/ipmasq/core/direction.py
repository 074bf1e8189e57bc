"""One direction of an inspected TCP connection: what its speaker sends, and when the gateway must send for
it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ipmasq.core.budget import Account
from ipmasq.core.framing import Framer, MessageReader
from ipmasq.core.plain import MOST, Fields, Plain, left
from ipmasq.core.speaker import Speaker
from ipmasq.core.stream import Stream
from ipmasq.core.tcp_end import TcpEnd

HOLD = 2.0
"""Seconds for which the beginning of a message is withheld if it does not grow; then it is forwarded
unchanged."""
REPEAT_AFTER = 0.2
"""Seconds after which bytes that were acknowledged early are retransmitted for the first time; the interval
doubles each time (RFC 6298, 5.5)."""
MOST_REPEATS = 8
"""Retransmissions after which the gateway gives up, 51 s after the first."""


class Delivery:
    """When the gateway must send what it withholds or has acknowledged early."""

    __slots__ = ("interval", "left_at", "repeat_at", "repeats", "since")

    def __init__(self) -> None:
        self.since = inf
        """When the beginning of a withheld message last grew."""
        self.left_at: int | None = None
        """Edited position of bytes that were withheld and are to be forwarded now, since inspection has
        ended."""
        self.repeat_at = inf
        """When bytes that were acknowledged early and forwarded may be retransmitted."""
        self.interval = REPEAT_AFTER
        self.repeats = 0

    def leaves(self, now: float) -> None:
        """Record that bytes that were acknowledged early are forwarded for the first time."""
        self.interval, self.repeats = REPEAT_AFTER, 0
        self.repeat_at = now + self.interval

    def repeats_now(self, now: float) -> None:
        self.repeats += 1
        self.interval *= 2
        self.repeat_at = now + self.interval if self.repeats < MOST_REPEATS else inf

    def to_state(self, now: float) -> Plain:
        """Return it as plain values."""
        return {
            "since": left(self.since, now),
            "left_at": self.left_at,
            "repeat_at": left(self.repeat_at, now),
            "interval": self.interval,
            "repeats": self.repeats,
        }

    @classmethod
    def from_state(cls, state: Fields, now: float) -> Delivery:
        """Return the delivery of a state. Raises StateError."""
        made = cls()
        made.since = state.moment_or_never("since", now)
        made.left_at = state.integer_or_none("left_at")
        made.repeat_at = state.moment_or_never("repeat_at", now)
        made.interval = state.seconds("interval")
        made.repeats = state.integer("repeats")
        return made

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to send, now or later."""
        return self.since == self.repeat_at == inf and self.left_at is None

    def deadline(self, hold: float) -> float:
        """Return when there is something to send (seconds), or infinity. `hold`: see HOLD."""
        if self.left_at is not None:
            return -inf
        return min(self.since + hold, self.repeat_at)


class Direction:
    __slots__ = ("claimed", "delivery", "end", "is_joined", "reader", "speaker", "stream")

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker
        self.end = TcpEnd()
        """What is remembered of the speaker's headers."""
        self.stream: Stream | None = None
        """What the speaker sends; None if its SYN was not seen."""
        self.is_joined = False
        """Whether inspection began in the middle of it, so that bytes may have passed that were never seen here."""
        self.reader: MessageReader | None = None
        self.delivery = Delivery()
        self.claimed: int | None = None
        """A position beyond what was received that the listener has acknowledged once."""

    def to_state(self, now: float) -> Plain:
        """Return it as plain values."""
        return {
            "end": self.end.to_state(),
            "stream": None if self.stream is None else self.stream.to_state(),
            "reader": None if self.reader is None else self.reader.to_state(),
            "delivery": self.delivery.to_state(now),
            "claimed": self.claimed,
            "is_joined": self.is_joined,
        }

    def restore(
        self, state: Fields, now: float, framer: Framer, account: Callable[[], Account]
    ) -> None:
        """Take over the direction of a state; `account` makes the account that pays for its stream. Raises
        StateError."""
        self.end = TcpEnd.from_state(state.fields("end"))
        stream, reader = state.fields_or_none("stream"), state.fields_or_none("reader")
        if stream is not None:
            self.stream = Stream.from_state(stream, framer, account())
        if reader is not None:
            self.reader = MessageReader.from_state(reader, framer)
        self.delivery = Delivery.from_state(state.fields("delivery"), now)
        self.claimed = state.integer_or_none("claimed", -MOST)
        # An older gateway did not write it: what is not known to have been seen from its beginning may have gaps.
        self.is_joined = "is_joined" not in state.names() or state.boolean("is_joined")

    def forward_withheld(self) -> None:
        """Forward what is withheld unchanged."""
        if self.stream is not None:
            self.stream.decide(len(self.stream.undecided))
        if self.reader is not None:
            self.reader.pass_on()
            if self.stream is not None:
                self.stream.keep_begun(self.reader.passed)
