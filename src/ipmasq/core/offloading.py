"""The engine's commands for a fast path, and the fast path's counters.

A fast path forwards packets of flows without the engine. A verdict carries the commands for it (`Track`,
`Offload`, `Move`, `Withdraw`), complete values that are to be carried out before the packets of that verdict
are sent: the answer to such a packet may come faster than anything else. Without a `CounterSource` there is
no fast path, and no commands are made.

Before the engine judges by what it has seen of a flow, it reads the `CounterSource`: so no flow ends that is
alive in the fast path, and a reset is compared with the present position of its sender.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ipmasq.core.flow import Flow, Half
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.tally import Tally
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint


class Rewrite(NamedTuple):
    """One direction of a flow: packets that come in on `side` with `match` leave with `rewrite`
    (see `ipmasq.core.flow`)."""

    side: Side
    protocol: int
    match: bytes
    rewrite: bytes
    position: int = 0
    """TCP: the position of its sender, see `ipmasq.core.flow.Half`; 0 otherwise."""
    reach: int = 0
    """TCP: a segment is in window if its end and its acknowledgment number are both within 2 to the power of
    `reach` bytes of those of `position`, modulo 2^32; each then moves there unless that is up to `LATE` bytes
    back. Other segments are forwarded and change neither."""


class Traffic(NamedTuple):
    """What was forwarded in one direction since the last report: at least one packet. `seen` is the time of
    the latest packet in window, on the engine's clock; `position` is that of its sender now (TCP)."""

    seen: float
    packets: int
    bytes: int
    position: int = 0


Counters: TypeAlias = tuple[Traffic | None, Traffic | None]
"""For the original and the reply direction; None if nothing was forwarded."""

CounterSource: TypeAlias = Callable[[int], Counters | None]
"""Returns, for the number of a flow, what was forwarded of it since the last report; None if the flow is not
offloaded."""


Marks: TypeAlias = tuple[int, int]
"""How far a fast path's own counters of a flow have been reported, for the original and the reply direction. Only the
fast path knows what the numbers mean. They are kept with the flow's counters, so that a successor neither
misses nor repeats what was forwarded since."""

MarkSource: TypeAlias = Callable[[int], Marks | None]
"""Returns the marks of a flow, by its number, for its record."""


class Track(NamedTuple):
    """Track a flow. Its packets are left to the engine, and charged to its host."""

    flow: int
    original: Rewrite
    reply: Rewrite


class Offload(NamedTuple):
    """Forward the ordinary packets of a flow, each direction from its position on."""

    flow: int
    original: Rewrite
    reply: Rewrite


class Move(NamedTuple):
    """The engine has handled a packet of an offloaded flow, which has moved the position of `speaker`. If the
    fast path's is still `before`, set it to `after`. Otherwise the fast path would find all segments out of
    window after packets of the flow have gone to the engine for a while (too large, or with options)."""

    flow: int
    speaker: Speaker
    before: int
    after: int


class Withdraw(NamedTuple):
    """The flow has ended."""

    flow: int


class Relate(NamedTuple):
    """A data flow that a helper expected was opened from outside. The host's connection tracking must know it
    as related to its control flow. Endpoints are those that inside hosts see, first that of the client."""

    protocol: int
    client: Endpoint
    server: Endpoint
    master_protocol: int
    master_client: Endpoint
    master_server: Endpoint


Command: TypeAlias = Track | Offload | Move | Withdraw | Relate


def command(flow: Flow) -> Track | Offload:
    """Return the command for the present state of a flow."""
    kind = Offload if flow.offloadable else Track
    return kind(flow.id, _rewrite(flow, flow.original), _rewrite(flow, flow.reply))


def _rewrite(flow: Flow, half: Half) -> Rewrite:
    if flow.protocol != ipv4.TCP:
        return Rewrite(half.side, flow.protocol, half.match, half.rewrite)
    return Rewrite(half.side, flow.protocol, half.match, half.rewrite, half.position, flow.reach)


def report(flow: Flow, counters: Counters, has_positions: bool = True) -> None:
    """Record counters of packets that were forwarded elsewhere. They are newer than all that the engine has
    seen of the flow. `has_positions`: whether their positions are to be believed."""
    for half, traffic in zip((flow.original, flow.reply), counters, strict=True):
        if traffic is not None:
            half.packets += traffic.packets
            half.bytes += traffic.bytes
            flow.last_seen = max(flow.last_seen, traffic.seen)
            if has_positions and flow.protocol == ipv4.TCP:
                half.position = traffic.position


class Offloading:
    """The engine's end of a fast path: the source of counters, and the commands that no verdict has carried
    yet."""

    def __init__(self) -> None:
        self.source: CounterSource | None = None
        """None if there is no fast path."""
        self.commands: list[Command] = []
        self.mark_source: MarkSource | None = None
        self.inherited: dict[int, Marks] = {}
        """Marks of flows that an earlier process has offloaded, until the fast path has taken them over."""
        self.tally = Tally()

    def marks_of(self, flow: int) -> Marks | None:
        """Return the marks of a flow for its record, by its number; None if no fast path has it."""
        marks = None if self.mark_source is None else self.mark_source(flow)
        return self.inherited.get(flow) if marks is None else marks

    def take(self) -> list[Command]:
        taken = self.commands.copy()
        self.commands.clear()
        return taken

    def command(self, flow: Flow) -> None:
        """Add a command for a flow that is new, offloadable, or no longer so."""
        if self.source is not None:
            self.commands.append(command(flow))

    def withdraw(self, flow: Flow) -> None:
        """Add a command for a flow that has ended."""
        self.inherited.pop(flow.id, None)
        if self.source is not None:
            self.commands.append(Withdraw(flow.id))

    def relate(self, flow: Flow, master: Flow) -> None:
        """Add a command for a data flow that was opened."""
        if flow.opened_by is Side.OUTSIDE:
            ends, of_master = _seen_inside(flow), _seen_inside(master)
            self.commands.append(Relate(flow.protocol, *ends, master.protocol, *of_master))

    def sync(self, flow: Flow) -> bool:
        """Record what was forwarded of a flow elsewhere. Return whether it is offloaded. To be called before
        anything is judged by what was seen of the flow."""
        counters = self.source(flow.id) if self.source is not None else None
        if counters is not None:
            report(flow, counters)
        return counters is not None

    def moved(self, half: Half, before: int) -> None:
        """Add a command after the engine has handled a packet of an offloaded flow; `before` is the position
        of its sender until then."""
        if half.position != before and half.flow.offloadable:
            self.commands.append(Move(half.flow.id, half.speaker, before, half.position))


def _seen_inside(flow: Flow) -> tuple[Endpoint, Endpoint]:
    """Return the endpoint that opened the flow, and the other one, as the inside host sees them."""
    inside, _, remote, _ = flow.endpoints
    return (inside, remote) if flow.opened_by is Side.INSIDE else (remote, inside)
