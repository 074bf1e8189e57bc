"""What is remembered of one end's TCP headers, in order to build segments that this end accepts or could have
sent."""

from __future__ import annotations

from ipmasq.core.plain import MOST, Fields, Plain
from ipmasq.wire import tcp
from ipmasq.wire.tcp import SYN, Segment

USUAL_MSS = 536
"""The MSS of a host that announces none (RFC 9293, 3.7.1)."""
LEAST_MSS = 88
"""The least MSS that an end may announce (as Linux: TCP_MIN_MSS). One byte per segment would multiply all
that comes in."""
LEAST_ROOM = LEAST_MSS - 40
"""Payload bytes that every segment may have: the least MSS less the longest options."""
MOST_HEADERS = 60 + 60
"""The most bytes of the IP and TCP headers before a payload; all must fit into 65,535 bytes (RFC 791, 3.1)."""
LARGEST_UNSCALED = 0xFFFF
"""Bytes of the largest window without a scale (RFC 9293, 3.1)."""
MOST_SCALE = 14
"""The largest window scale (RFC 7323, 2.3)."""

STAMPED = bytes((tcp.NOP, tcp.NOP, tcp.TIMESTAMPS, 10))
"""The beginning of the options of nearly every segment with timestamps (RFC 7323, appendix A)."""


class TcpEnd:
    __slots__ = ("edge", "mss", "scale", "takes_sack", "timestamp", "window")

    def __init__(self) -> None:
        self.mss: int | None = None
        self.takes_sack = False
        self.scale: int | None = None
        """None if its SYN was not seen."""
        self.window = 0
        self.edge: int | None = None
        """The edited position up to which its window accepts what the other end sends."""
        self.timestamp: bytes | None = None
        """The TSval of its latest segment (RFC 7323)."""

    def to_state(self) -> Plain:
        """Return it as plain values."""
        return {
            "mss": self.mss,
            "takes_sack": self.takes_sack,
            "scale": self.scale,
            "window": self.window,
            "edge": self.edge,
            "timestamp": self.timestamp,
        }

    @classmethod
    def from_state(cls, state: Fields) -> TcpEnd:
        """Return the end of a state. Raises StateError."""
        made = cls()
        made.mss = state.integer_or_none("mss", 0, 0xFFFF)
        made.takes_sack = state.boolean("takes_sack")
        made.scale = state.integer_or_none("scale", 0, MOST_SCALE)
        made.window = state.integer("window", 0, 0xFFFF)
        made.edge = state.integer_or_none("edge", -MOST)
        made.timestamp = state.blob_or_none("timestamp")
        if made.timestamp is not None and len(made.timestamp) != 4:
            raise state.error("timestamp", "has not four bytes")
        return made

    def open(self, syn: Segment) -> None:
        """Record what its SYN announces."""
        mss = tcp.option(syn.options, tcp.MSS)
        scale = tcp.option(syn.options, tcp.WINDOW_SCALE)
        self.mss = int.from_bytes(mss, "big") if mss and len(mss) == 2 else USUAL_MSS
        self.scale = min(scale[0], MOST_SCALE) if scale else 0
        self.takes_sack = tcp.option(syn.options, tcp.SACK_PERMITTED) is not None

    def learn(self, segment: Segment, edited: int, in_order: bool) -> None:
        """Record from a segment, which acknowledges up to `edited`, what the gateway's own segments need."""
        options = segment.options
        if in_order and len(options) >= 12:  # RFC 7323, 4.3
            stamp = options[4:8] if options.startswith(STAMPED) else _timestamp(options)
            self.timestamp = stamp or self.timestamp
        self.window = segment.window
        if self.scale is not None and not segment.flags & SYN:
            self.edge = max(self.edge or 0, edited + (segment.window << self.scale))

    def room(self, options: int, size: int, path_mtu: int | None) -> int:
        """Return the payload bytes of the largest segment to this end, with so many bytes of options: what it
        announced (RFC 6691: less the options), the path MTU, or else what the other end itself sent (`size`).
        """
        room = max(self.mss, LEAST_MSS) - options if self.mss is not None else max(size, USUAL_MSS)
        if path_mtu:
            room = min(room, path_mtu - 40 - options)
        return min(max(room, LEAST_ROOM), 0xFFFF - MOST_HEADERS)


def _timestamp(options: bytes) -> bytes | None:
    stamp = tcp.option(options, tcp.TIMESTAMPS)
    return stamp[:4] if stamp and len(stamp) == 8 else None
