"""The interface between a flow and the inspector of its packets.

An inspector receives every packet of its flow and answers what leaves instead. It may have a helper attached,
or may only continue to shift what a helper has changed. This module is below `flow`, so that a flow has an
inspector without knowing what it does. There are two, `tcp_inspector` and `datagram_inspector`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple, Protocol

from ipmasq.core.plain import Plain
from ipmasq.core.reasons import Reason
from ipmasq.core.registered import Registered
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.timers import Bucket
from ipmasq.core.views import NO_SHIFT, Shift
from ipmasq.wire.header import Header
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import Segment


class Inspected(NamedTuple):
    """The result for a packet that an inspector has received."""

    reason: Reason
    packets: Sequence[Packet] = ()
    taken: Segment | None = None
    """TCP: the part of a segment in window that is to be recorded for its flow. None: it was dropped, or is out
    of window and only forwarded."""
    payload: int = 0
    """Payload bytes of it that were accepted."""
    acknowledgment: int = 0
    """Its acknowledgment number, in the other end's numbers."""
    deadline: float = inf
    """When the inspector has something to send by itself; see `Inspector.deadline`."""
    is_released: bool = False
    """Whether inspection has ended."""


BLOCKED = Inspected(Reason.HELPER_DROP)
CORRUPT = Inspected(Reason.BAD_CHECKSUM)
NO_ROOM = Inspected(Reason.STREAM_LIMIT)
NO_WORK = Inspected(Reason.WORK_LIMIT)
OUTDATED = Inspected(Reason.OUTDATED)
"""The flow cannot continue, and is to be ended."""


class NoMemoryError(Exception):
    """There is no memory for one more inspected connection; it goes on as it is."""

    def __str__(self) -> str:
        return "limits.stream_memory or stream_memory_per_host allows no more inspected connections"


class Inspector(Protocol):
    """What is only of streams has a default here, which suits an inspector that withholds and shifts nothing."""

    flow_id: int
    is_inspecting: bool
    """Whether a helper is attached and inspects."""
    is_awaited: bool
    """Whether a helper waits until no bytes are in flight (see `attach`)."""
    due: Bucket[Any] | None
    """When it has something to send by itself."""

    @property
    def registered(self) -> Registered:
        """The helper that is attached, or was last."""

    @property
    def deadline(self) -> float:
        """When `expire` has something to do, on the engine's clock (seconds), or infinity."""
        return inf

    @property
    def is_plain(self) -> bool:
        """Whether nothing that it remembers is needed any more."""

    def receive(
        self,
        packet: Packet,
        header: Header,
        segment: Segment | None,
        speaker: Speaker,
        ttl_delta: int,
        now: float,
    ) -> Inspected:
        """Handle a packet of the flow, sent by `speaker`; TCP: it carries `segment`. Its buffer may be rewritten."""

    def expire(self, now: float) -> list[tuple[Packet, Side]]:
        """Return the packets that are due, each as if it had come in on that side."""
        return []

    def attach(self, registered: Registered) -> bool:
        """Attach another helper, from the next message on. Return False if that must wait for a later packet,
        or is not possible. Raises whatever the helper's constructor raises."""

    def renew(self) -> None:
        """Replace the helper by its newer code, with its state. Raises whatever the newer code raises."""

    def release(self) -> None:
        """End inspection; earlier changes remain in effect."""

    def doubt(self) -> None:
        """Expect that its state, from which it was restored, may be older than what the ends have said."""
        return

    def close(self) -> None:
        """Free everything, since the flow has ended."""
        return

    def shift(self, speaker: Speaker) -> Shift:
        """Return by how much the positions of what `speaker` sends are shifted."""
        return NO_SHIFT

    def check(self) -> int:
        """Raise AssertionError unless everything is consistent. Return how many bytes are kept."""
        return 0

    def to_state(self, now: float) -> Plain:
        """Return it as plain values."""

    @property
    def lacks_helper(self) -> bool:
        """Whether its helper could not take over the state from which it was restored, and must start anew. A
        blocked flow needs none."""

    # -- TCP

    def began_at(self, first: int) -> bool:
        """Return whether this is the sequence number of the first byte that the client sent."""
        return False

    def open(self, syn: Segment, now: float) -> None:
        """Begin with this SYN of the client, which was forwarded already."""
        return

    def unshift(self, speaker: Speaker, sequence: int) -> int:
        """Return the sequence number that `speaker` used for one with which it is quoted."""
        return sequence

    def limit_path(self, mtu: int) -> None:
        """Send no packets larger than this, in bytes."""
        return
