"""What a fast path offers: a table of flows to `ipmasq.offload`, and the rest to the gateway."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ipmasq.core.offloading import Rewrite, Traffic


class Reading(NamedTuple):
    """What a half has counted. `mark` says until when: it is what to pass as `since` the next time."""

    mark: int
    traffic: Traffic


class FlowTable(Protocol):
    """The directions of flows, each in a slot, which is a number. `now` is on the monotonic clock, in seconds.
    `since`: the mark of the reading before; 0: none, so that all is counted since the slot was filled."""

    capacity: int
    """Directions that it can hold; 0: there is no fast path."""

    def insert(self, half: Rewrite, offloaded: bool, now: float) -> int | None:
        """Fill a slot for packets that no other slot matches. Unless `offloaded`, they are left to the engine.
        None if there is no room."""

    def offload(self, slot: int, half: Rewrite) -> None:
        """Forward its ordinary packets, from the position of `half` on."""

    def track(self, slot: int) -> None:
        """Leave its packets to the engine."""

    def move(self, slot: int, before: int, after: int) -> None:
        """Set the position of its speaker, unless that is no longer `before`."""

    def read(self, slot: int, since: int, now: float) -> Reading | None:
        """What was forwarded; None if nothing was."""

    def remove(self, slot: int, since: int, now: float) -> Reading | None:
        """Empty the slot, and read it for the last time."""

    def heartbeat(self, now: float) -> None:
        """Say that the gateway lives: packets are forwarded for a few seconds more. To be called about once a second."""
