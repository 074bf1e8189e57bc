"""What a flow knows of whoever looks into its packets.

An inspector is shown every packet of its flow and answers what leaves instead. It may have a helper at work, or may
only go on shifting what a helper has moved. Below `flow`, so that a flow has one without knowing what it does; the
one for TCP is `tcp_inspector`. An inspector of datagrams would be asked by the same `receive`, without a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple, Protocol

from ipmasq.core.reasons import Reason
from ipmasq.core.registered import Registered
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.timers import Bucket
from ipmasq.core.views import Shift
from ipmasq.wire import ipv4
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import Segment


class Inspected(NamedTuple):
    """What happened to a packet that an inspector was shown."""

    reason: Reason
    packets: Sequence[Packet] = ()
    taken: Segment | None = None
    """What of a believable segment is to be remembered of its flow. None: it was dropped, or is not believable
    and only passed on."""
    payload: int = 0
    """Bytes that were taken of it."""
    acknowledgment: int = 0
    """Its acknowledgment number, as the other end counts."""
    deadline: float = inf
    """When the inspector has something to send of its own accord; see `Inspector.deadline`."""
    is_released: bool = False
    """No helper looks at the flow any more."""


class Inspector(Protocol):
    flow_id: int
    is_inspecting: bool
    """A helper is at work."""
    is_awaited: bool
    """A helper waits for a quiet moment in which it can begin (see `attach`)."""
    due: Bucket[Any] | None
    """When it has something to send of its own accord."""

    @property
    def registered(self) -> Registered:
        """The helper that is at work, or was last."""

    @property
    def deadline(self) -> float:
        """When `expire` has something to do, on the engine's clock (seconds); infinite if never."""

    @property
    def is_plain(self) -> bool:
        """Nothing that it remembers is needed any more."""

    def receive(
        self,
        packet: Packet,
        header: ipv4.Header,
        segment: Segment,
        speaker: Speaker,
        ttl_delta: int,
        now: float,
    ) -> Inspected:
        """A packet of the flow, said by `speaker`. Its buffer may be rewritten."""

    def expire(self, now: float) -> list[tuple[Packet, Side]]:
        """What is to be sent because its time has come, each as if it had come in on that side."""

    def attach(self, registered: Registered) -> bool:
        """Let another helper look, from the next message on. False if that must wait for a later packet, or
        cannot be. Raises whatever the helper raises when it is made."""

    def renew(self) -> None:
        """Go on with newer code of the helper, and its state. Raises whatever the newer code raises."""

    def release(self) -> None:
        """Look no further; what was changed stays changed."""

    def close(self) -> None:
        """The flow is forgotten: nothing is kept for it any more."""

    def shift(self, speaker: Speaker) -> Shift:
        """How far positions of what `speaker` says are shifted."""

    def check(self) -> int:
        """Raise AssertionError unless everything fits together. How many bytes are kept."""

    # -- TCP

    def began_at(self, first: int) -> bool:
        """Whether this is the sequence number of the first byte that the client said."""

    def open(self, syn: Segment, now: float) -> None:
        """The flow begins with this SYN of its client, which has been forwarded already."""

    def unshift(self, speaker: Speaker, sequence: int) -> int:
        """As `speaker` has said it: a sequence number that it is quoted with."""

    def limit_path(self, mtu: int) -> None:
        """Send no larger packets than this, in bytes."""
