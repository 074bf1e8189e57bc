"""The interface of a fast path: a table of flows for `ipmasq.offload`, and the rest for the gateway."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ipmasq.core.offloading import Rewrite, Traffic


class Reading(NamedTuple):
    """What a half has counted. Pass `mark` as `since` at the next reading."""

    mark: int
    traffic: Traffic


class FlowTable(Protocol):
    """The directions of flows, each in a slot, which is a number. `now` is on the monotonic clock, in
    seconds. `since` is the mark of the previous reading; 0 counts from when the slot was filled."""

    capacity: int
    """The number of directions that it can hold; 0 means that there is no fast path."""

    def insert(self, half: Rewrite, offloaded: bool, now: float) -> int | None:
        """Fill a slot for packets that match no other slot. Unless `offloaded`, they are left to the engine.
        Return None if there is no room."""

    def offload(self, slot: int, half: Rewrite) -> None:
        """Forward the ordinary packets, from the position of `half` on."""

    def track(self, slot: int) -> None:
        """Leave the packets to the engine."""

    def move(self, slot: int, before: int, after: int) -> None:
        """Set the position of the sender, unless it is no longer `before`."""

    def read(self, slot: int, since: int, now: float) -> Reading | None:
        """Return what was forwarded, or None if nothing was."""

    def remove(self, slot: int, since: int, now: float) -> Reading | None:
        """Empty the slot, and read it for the last time."""

    def heartbeat(self, now: float) -> None:
        """Renew the heartbeat, so that packets are forwarded for a few seconds more; called about once a
        second."""
