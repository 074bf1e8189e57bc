"""The conversation of a replayed capture as a list of steps, for whoever draws or prints it.

A step is a value with plain text in it: everything that came from a packet is escaped, so that it is one visible line.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

MOST_STEPS = 10_000
"""The most steps that are kept of one replay; further ones are only counted."""


class Kind(StrEnum):
    LINE = "line"
    """A line, message or datagram that a helper was given."""
    OPENED = "opened"
    """A connection, or another flow, was opened."""
    CLOSED = "closed"
    """A flow ended."""
    OPEN = "open"
    """A flow is still open when the capture ends."""
    DROPPED = "dropped"
    """Packets that the gateway dropped."""
    EARLIER = "earlier"
    """Packets of a connection that began before the capture, or that one of those may have announced."""
    NOTE = "note"
    """Something that happened in the gateway itself."""


class Column(StrEnum):
    """A column of the ladder: where an arrow begins or ends."""

    INSIDE = "inside"
    GATEWAY = "gateway"
    OUTSIDE = "outside"


class Outcome(StrEnum):
    PASSED = "passed"
    REWRITTEN = "rewritten"
    LINKED = "linked"
    """Passed unchanged, and a flow is expected because of it."""
    REFUSED = "refused"
    FAILED = "failed"
    """The helper raised an exception."""
    DROPPED = "dropped"
    TOLD = "told"
    """Nothing was done; it is information."""


@dataclass
class Step:
    number: int
    """Its position in the list, from 1."""
    at: float
    """Seconds after the first packet of the capture."""
    kind: Kind
    source: Column
    target: Column
    """Equal to `source` if it is no arrow."""
    packet: int | None = None
    """The number of the captured packet that caused it, from 1; None if only time has passed."""
    flow: int | None = None
    conversation: int | None = None
    """The control flow that `flow` is linked to, or else `flow` itself."""
    outcome: Outcome = Outcome.TOLD
    helper: str = ""
    before: str = ""
    """A line as it was sent."""
    after: str = ""
    """The same line as it was received."""
    inside: str = ""
    public: str = ""
    remote: str = ""
    """The three endpoints of a flow; of a dropped packet those that are known."""
    protocol: str = ""
    sentences: list[str] = field(default_factory=list)
    """What happened and why, in whole sentences."""
    announced_by: int | None = None
    """Of an opened flow that was expected: the step with the line that announced it."""
    led_to: list[int] = field(default_factory=list)
    """Of an announcement: the steps that opened the announced flows."""
    packets: int = 0
    """Of dropped packets, and of an earlier connection: how many there were. Of a flow that ended or is still open: in both directions."""
    bytes_out: int = 0
    bytes_in: int = 0
    """Of such a flow: bytes to and from the outside, with all headers from that of IP on."""

    @property
    def is_arrow(self) -> bool:
        return self.source is not self.target


@dataclass
class Steps:
    """The steps of one replay."""

    steps: list[Step] = field(default_factory=list)
    more: int = 0
    """Steps beyond `MOST_STEPS`, which were not kept."""

    def as_json(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        return {"steps": [asdict(step) for step in self.steps], "more": self.more}
