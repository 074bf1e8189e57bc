"""Every flow is entered into the fast path: what has settled to be repeated, the others as known, so that
a flood of strangers is told from them. What no longer is leaves it, and what the fast path has counted
comes back to the engine before anything is judged by it.

An order matters. An entry must be repeated no longer before any packet leaves that could bring about
one which it would answer wrongly. And it should be repeated before the packet leaves by which it settled: the
answer to that would still go to the engine, the slow way, and what other flows say of it overtake it. So
whoever drives the engine passes events on before the packets of a verdict, whenever `Engine.is_pressing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event, FlowClosed, FlowNotOffloadable, FlowOffloadable, FlowOpened
from ipmasq.core.offloading import Rewrite, Traffic
from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.table import Position, Repeater, Report
from ipmasq.wire import ipv4

REPEATABLE = (ipv4.TCP, ipv4.UDP)
IPV4_KEY = 12
SLICE = 1000
"""Flows that are read at a time: a millisecond."""


class Entry:
    """A flow in the fast path: the places of its halves, whether they are repeated or only known to be
    the engine's, and the counters as they were last read."""

    __slots__ = ("back_before", "flow", "forth_before", "offloaded", "original", "reply")

    def __init__(self, flow: int, original: int, reply: int, offloaded: bool) -> None:
        self.flow = flow
        self.original, self.reply = original, reply
        self.forth_before = self.back_before = 0
        self.offloaded = offloaded


class Offload:
    def __init__(self, engine: Engine, table: Repeater, clock: Callable[[], float]) -> None:
        """From now on `engine` asks here. `clock`: the engine's, and the monotonic one of the kernel."""
        self._engine = engine
        self._table = table
        self._clock = clock
        self._entries: dict[int, Entry] = {}
        self._lost = engine.lost_events
        self._unread: list[Entry] = []
        self._asked: tuple[Entry, Report, Report] | None = None
        """Of whom the engine has asked last, and what it was told: perhaps it has a packet of that flow,
        and moves its position in the stream."""
        self.refused = 0
        """Flows for which the table had no room."""
        self._roomless: set[int] = set()
        """Those of them that live."""
        self.packets = 0
        """Packets that went by there, as far as is known; `bytes` of them."""
        self.bytes = 0
        engine.set_counter_source(self.sync_counters)

    def numbers(self) -> list[int]:
        """The flows that are repeated."""
        return [entry.flow for entry in self._entries.values() if entry.offloaded]

    # -- from the engine to the fast path

    def listen(self, happened: Sequence[Event]) -> None:
        """Follow events; what they call for has been done when this returns."""
        self._catch_up()
        if self._lost != self._engine.lost_events:
            self._make_up()
        for event in happened:
            if isinstance(event, FlowClosed):
                self.remove(event.flow)
            elif isinstance(event, FlowOpened | FlowOffloadable | FlowNotOffloadable):
                self.follow(event.flow)

    def _make_up(self) -> None:
        """Events were lost: first let go of what is no more, since a new flow may have its key."""
        self._lost = self._engine.lost_events
        for flow in [flow for flow in self._entries if self._engine.has_settled(flow) is None]:
            self.remove(flow)
        for flow in list(self._engine.table.flows):
            self.follow(flow)

    def follow(self, flow: int) -> None:
        """Have it as it is now."""
        settled, entry = self._engine.has_settled(flow), self._entries.get(flow)
        if settled is None:
            self.remove(flow)
        elif entry is None:
            self._enter(flow, settled)
        elif entry.offloaded is not settled:
            entry.offloaded = settled
            positions = self._positions(flow) if settled else (None, None)
            for slot, position in zip((entry.original, entry.reply), positions, strict=True):
                self._table.offload(slot, position)
            self._report(entry)

    def _enter(self, flow: int, settled: bool) -> None:
        halves = self._engine.halves(flow)
        if not _can_be_repeated(halves[0]):
            return
        original, reply = (self._insert(half, settled) for half in halves)
        if original is not None and reply is not None:
            self._entries[flow] = Entry(flow, original, reply, settled)
            self._roomless.discard(flow)
            return
        if flow not in self._roomless:
            self._roomless.add(flow)
            self.refused += 1
        for slot in (original, reply):
            if slot is not None:
                self._table.remove(slot)

    def _insert(self, half: Rewrite, offloaded: bool) -> int | None:
        key = layout.key(half.match, half.protocol, half.side)
        return self._table.insert(key, half.rewrite, self._clock(), offloaded, _position(half))

    def _positions(self, flow: int) -> tuple[Position, Position]:
        original, reply = self._engine.halves(flow)
        return _position(original), _position(reply)

    def _catch_up(self) -> None:
        """The engine is done with the packet for which it asked. Where it moved a position, and nothing
        that went by in the meantime did, the table follows: else it would come to believe nothing of a
        flow whose packets went up to the engine for a while (too large, or with options)."""
        asked, self._asked = self._asked, None
        if asked is None or self._entries.get(asked[0].flow) is not asked[0]:
            return
        entry, *told = asked
        if not entry.offloaded or self._engine.has_settled(entry.flow) is None:
            return
        slots = entry.original, entry.reply
        for slot, then, position in zip(slots, told, self._positions(entry.flow), strict=True):
            if then[2:] != position[:2] and self._table.read(slot)[2:] == then[2:]:
                self._table.move(slot, position)

    def remove(self, flow: int) -> None:
        """Forget it; what was counted comes back first."""
        self._roomless.discard(flow)
        entry = self._entries.pop(flow, None)
        if entry is not None:
            self._report(entry, self._table.remove(entry.original), self._table.remove(entry.reply))

    def stop(self) -> None:
        """Bring back all that was counted, for the last time."""
        self.refresh()
        self._engine.set_counter_source(None)

    # -- from the fast path to the engine

    def sync_counters(self, flow: int) -> None:
        """Bring the engine what has been seen of a flow."""
        self._catch_up()
        entry = self._entries.get(flow)
        if entry is not None and entry.offloaded:
            original, reply = self._table.read(entry.original), self._table.read(entry.reply)
            self._report(entry, original, reply)
            self._asked = entry, original, reply

    def tick(self) -> None:
        """To be called about once a second."""
        self._catch_up()
        self._table.heartbeat(self._clock())

    def read_on(self) -> bool:
        """Bring the engine what has been seen of the next flows; whether there are more in this round.
        A million at once would hold up packets for seconds."""
        self._catch_up()
        if not self._unread:
            self._unread = list(self._entries.values())
        for entry in self._unread[-SLICE:]:
            if entry.offloaded and self._entries.get(entry.flow) is entry:
                self._report(entry)
        del self._unread[-SLICE:]
        return bool(self._unread)

    def refresh(self) -> None:
        """Bring the engine all that has been seen of any flow."""
        self._unread = []
        while self.read_on():
            pass

    def _report(
        self, entry: Entry, original: Report | None = None, reply: Report | None = None
    ) -> None:
        """What is new of it; read now, unless it was read already."""
        original = original or self._table.read(entry.original)
        reply = reply or self._table.read(entry.reply)
        if original.traffic == entry.forth_before and reply.traffic == entry.back_before:
            return
        now = self._clock()
        there = self._traffic(original, entry.forth_before, now)
        here = self._traffic(reply, entry.back_before, now)
        entry.forth_before, entry.back_before = original.traffic, reply.traffic
        self._engine.report(entry.flow, there, here)

    def _traffic(self, report: Report, before: int, now: float) -> Traffic:
        packets, size = layout.counted(report.traffic, before)
        self.packets += packets
        self.bytes += size
        seen = layout.seconds(report.seen, now)
        return Traffic(seen, packets, size, report.end, report.acknowledged)


def _position(half: Rewrite) -> Position:
    return Position(half.end, half.acknowledged, half.reach)


def _can_be_repeated(half: Rewrite) -> bool:
    return half.protocol in REPEATABLE and len(half.match) == IPV4_KEY
