"""The interface of a fast path: a table of flows for `ipmasq.offload`, and the rest for the gateway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ipmasq.core.offloading import Rewrite, Traffic
from ipmasq.core.policy import Limits
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Address


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
        """Say that the gateway lives: packets are forwarded for a few seconds more. To be called about once a second."""


class Offender(NamedTuple):
    """Somebody whose packets to the engine are dropped. `host`: None if it is a flow, or the whole side."""

    side: Side
    account: str
    """Which limit it was that they exceed, in words."""
    host: Address | None
    dropped: int
    """Packets, since it was first heard of."""


class FastPath(Protocol):
    """What forwards packets before they come to a plane, beside its table."""

    @property
    def table(self) -> FlowTable:
        """What it forwards."""

    @property
    def trouble(self) -> str:
        """Why this is not the fast path that was asked for, in one sentence; empty if it is."""

    def describe(self) -> str:
        """The plane and its fast path, in a few words."""

    # -- for its plane

    def descriptors(self) -> Sequence[int]:
        """File descriptors to wait for; then `look` is to be called."""

    def look(self) -> None:
        """Drop what was looked up of the host's network if that has changed."""

    def forget_hops(self) -> None:
        """Drop it in any case."""

    def follow(self) -> None:
        """Interfaces or their names have changed. Raises PlaneError."""

    def halt(self) -> None:
        """Forward no more packets; the table can still be read."""

    def close(self) -> None:
        """Undo everything."""

    # -- the host's firewall

    @property
    def passes_once(self) -> bool:
        """Whether packets pass it once, from an inside interface to the outside one or back; otherwise twice."""

    @property
    def could_pass_once(self) -> bool:
        """Whether that can be had."""

    def pass_twice(self, value: bool) -> None:
        """Have them pass it twice, or (False) once if that can be had."""

    # -- floods

    def set_rates(self, limits: Limits) -> None:
        """Bound what may be left to the engine. Until this is called, anything may."""

    def dropped(self) -> int:
        """Packets that were more than that."""

    def offenders(self) -> Iterator[Offender]:
        """Whose packets they were."""

    def counters(self) -> Iterator[tuple[str, int, str]]:
        """Packets that were left to the engine, or dropped: a name for machines, how many, a sentence for people."""


class EmptyTable:
    """A FlowTable without room."""

    capacity = 0

    def insert(self, half: Rewrite, offloaded: bool, now: float) -> int | None:
        return None

    def offload(self, slot: int, half: Rewrite) -> None: ...

    def track(self, slot: int) -> None: ...

    def move(self, slot: int, before: int, after: int) -> None: ...

    def read(self, slot: int, since: int, now: float) -> Reading | None:
        return None

    def remove(self, slot: int, since: int, now: float) -> Reading | None:
        return None

    def heartbeat(self, now: float) -> None: ...


@dataclass(frozen=True)
class NoFastPath:
    """A FastPath that forwards nothing: every packet comes to the engine."""

    trouble: str = ""
    table: FlowTable = field(default=EmptyTable(), compare=False)
    passes_once = could_pass_once = False

    def start(self, plane: object) -> FastPath:
        """See `ipmasq.planes.tun.plane.Start`."""
        return self

    def describe(self) -> str:
        return f"tun ({self.trouble})" if self.trouble else "tun"

    def descriptors(self) -> Sequence[int]:
        return ()

    def look(self) -> None: ...

    def forget_hops(self) -> None: ...

    def follow(self) -> None: ...

    def halt(self) -> None: ...

    def close(self) -> None: ...

    def pass_twice(self, value: bool) -> None: ...

    def set_rates(self, limits: Limits) -> None: ...

    def dropped(self) -> int:
        return 0

    def offenders(self) -> Iterator[Offender]:
        return iter(())

    def counters(self) -> Iterator[tuple[str, int, str]]:
        return iter(())
