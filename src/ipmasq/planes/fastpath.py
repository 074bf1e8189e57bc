"""The interface of a fast path: a table of flows for `ipmasq.offload`, and the rest for the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, Protocol

from ipmasq.core.offloading import Rewrite, Traffic
from ipmasq.core.policy import Limits
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Address


class Reading(NamedTuple):
    """What a half has counted. Pass `mark` as `since` at the next reading."""

    mark: int
    traffic: Traffic


class Adopted(NamedTuple):
    """A slot that an earlier process has filled and that has been taken over."""

    slot: int
    mark: int
    """See `Reading`."""
    traffic: Traffic | None
    """What was forwarded that is not counted yet, perhaps no packet, and the latest position of the sender; None
    if the slot was not offloaded."""
    is_filled: bool = False
    """Whether it was filled from a row. Then the position is that of the latest packet, whoever has sent it."""


class FlowTable(Protocol):
    """The directions of flows, each in a slot, which is a number. `now` is on the monotonic clock, in
    seconds. `since` is the mark of the previous reading; at first, of when the slot was filled."""

    capacity: int
    """The number of directions that it can hold; 0 means that there is no fast path."""

    def insert(self, half: Rewrite, offloaded: bool, now: float, mark: int = 0) -> int | None:
        """Fill a slot for packets that match no other slot. Unless `offloaded`, they are left to the engine. Its
        counter begins at `mark`: that of the flow's record, which an earlier process may have written, so that a later
        one can go on from it. Return None if there is no room."""

    @property
    def inherits(self) -> bool:
        """Whether there are slots that an earlier process has filled, and that were neither adopted nor discarded.
        Their packets are forwarded as it has decided."""

    def adopt(
        self, half: Rewrite, offloaded: bool, since: int | None, now: float
    ) -> Adopted | None:
        """Take over the inherited slot of this direction, instead of `insert`. It keeps its counters and, if it was
        offloaded, its position. `since` is the mark of the earlier process's last reading; if it is None, what was
        not read remains uncounted. Return None if there is no such slot."""

    def discard(self) -> bool:
        """Empty some of the inherited slots. Return whether there are more. To be called when all flows have been
        adopted that are to continue."""

    @property
    def can_fill(self) -> bool:
        """Whether `fill` does anything. What it needs is made ready when this is asked for the first time (0.1 s)."""

    def fill(self, rows: bytes, now: float) -> None:
        """Fill slots for both directions of flows that another gateway has served, from rows (see
        `ipmasq.core.compact.FLOW`), as far as there is room. They are inherited from here on. Those that are there already
        are left alone. Until a slot is adopted, all its packets are in window."""

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

    def heartbeat(self, now: float, lasts: float = inf) -> None:
        """Renew the heartbeat, so that packets are forwarded for a few seconds more; called about once a
        second. `lasts` is as for `limit`."""

    def limit(self, now: float, lasts: float) -> None:
        """Set the heartbeat alone, so that packets are forwarded for no longer than `lasts` seconds from now, and
        no longer at all if that is not positive."""


class Offender(NamedTuple):
    """A sender whose packets to the engine are dropped. `host` is None for a flow, or for a whole side."""

    side: Side
    account: str
    """The limit that the packets exceed, in words."""
    host: Address | None
    dropped: int
    """Packets dropped so far."""


class Counter(NamedTuple):
    """What was counted since the fast path was started."""

    name: str
    """For machines: `tc.no_entry`."""
    value: int
    sentence: str
    """What it counts, for people."""
    is_drop: bool = False
    """Whether these are packets that were dropped."""


class FastPath(Protocol):
    """Forwards packets before they come to a plane."""

    @property
    def table(self) -> FlowTable:
        """The flows that it forwards."""

    @property
    def trouble(self) -> str:
        """Why this is not the requested fast path, in one sentence; empty if it is."""

    def describe(self) -> str:
        """Return the plane and its fast path, in a few words."""

    # -- for its plane

    def descriptors(self) -> Sequence[int]:
        """File descriptors to wait for; then `look` must be called."""

    def look(self) -> None:
        """Discard cached routes and neighbours of the host if they have changed."""

    def forget_hops(self) -> None:
        """Discard cached routes and neighbours in any case."""

    def follow(self) -> None:
        """Follow a change of interfaces or their names. Raises PlaneError."""

    def note_changes(self) -> None:
        """Begin to note which slots of the table change, since a successor has the same table."""

    @property
    def changes(self) -> list[int] | None:
        """The numbers of the slots that have changed since `note_changes`; None if any may have."""

    def look_again(self, changes: Sequence[int] | None) -> None:
        """See what the predecessor, which has the same table, has changed since this one was started beside it: its
        `changes`. To be called before anything is entered."""

    def halt(self) -> None:
        """Forward no more packets; the table can still be read."""

    def close(self) -> None:
        """Stop forwarding, and undo what the start of this fast path has changed."""

    def leave(self) -> None:
        """Leave everything for a successor, as far as possible, and go on forwarding for the grace time."""

    # -- the host's firewall

    @property
    def passes_once(self) -> bool:
        """Whether packets pass the firewall once, from an inside interface to the outside one or back;
        otherwise twice."""

    @property
    def could_pass_once(self) -> bool:
        """Whether packets could pass it once."""

    def pass_twice(self, value: bool) -> None:
        """Let packets pass it twice, or with False once if possible."""

    # -- floods

    def set_rates(self, limits: Limits) -> None:
        """Limit the packets that may be left to the engine. Before that, there is no limit."""

    def dropped(self) -> int:
        """The number of packets beyond the limits."""

    def offenders(self) -> Iterator[Offender]:
        """Yield the senders of those packets."""

    def counters(self) -> Iterator[Counter]:
        """Yield counters of packets that were left to the engine, or dropped."""


class EmptyTable:
    """A FlowTable without room."""

    capacity = 0
    inherits = can_fill = False

    def fill(self, rows: bytes, now: float) -> None: ...

    def adopt(
        self, half: Rewrite, offloaded: bool, since: int | None, now: float
    ) -> Adopted | None:
        return None

    def discard(self) -> bool:
        return False

    def insert(self, half: Rewrite, offloaded: bool, now: float, mark: int = 0) -> int | None:
        return None

    def offload(self, slot: int, half: Rewrite) -> None: ...

    def track(self, slot: int) -> None: ...

    def move(self, slot: int, before: int, after: int) -> None: ...

    def read(self, slot: int, since: int, now: float) -> Reading | None:
        return None

    def remove(self, slot: int, since: int, now: float) -> Reading | None:
        return None

    def heartbeat(self, now: float, lasts: float = inf) -> None: ...

    def limit(self, now: float, lasts: float) -> None: ...


@dataclass(frozen=True)
class NoFastPath:
    """A FastPath that forwards nothing: every packet comes to the engine."""

    trouble: str = ""
    table: FlowTable = field(default=EmptyTable(), compare=False)
    passes_once = could_pass_once = False

    def prepare(self, plane: object) -> Callable[[], NoFastPath]:
        """See `ipmasq.planes.tun.start.Start`."""
        return lambda: self

    def inherit(self, plane: object, pins: object) -> NoFastPath:
        """See `ipmasq.planes.tun.start.Start`."""
        return self

    def start(self, plane: object) -> FastPath:
        """See `ipmasq.planes.tun.start.Start`."""
        return self

    def describe(self) -> str:
        return f"tun ({self.trouble})" if self.trouble else "tun"

    def descriptors(self) -> Sequence[int]:
        return ()

    def look(self) -> None: ...

    def forget_hops(self) -> None: ...

    def follow(self) -> None: ...

    changes = None

    def note_changes(self) -> None: ...

    def look_again(self, changes: Sequence[int] | None) -> None: ...

    def halt(self) -> None: ...

    def close(self) -> None: ...

    def leave(self) -> None: ...

    def pass_twice(self, value: bool) -> None: ...

    def set_rates(self, limits: Limits) -> None: ...

    def dropped(self) -> int:
        return 0

    def offenders(self) -> Iterator[Offender]:
        return iter(())

    def counters(self) -> Iterator[Counter]:
        return iter(())
