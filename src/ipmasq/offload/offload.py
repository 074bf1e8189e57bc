"""Carries out the engine's commands in the table of a fast path, and reports its counters to the engine.

Every TCP and UDP flow has its entry there, also one that is left to the engine, so that packets of flows are
distinguished from a flood of untracked packets (docs/adr/0010).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from ipmasq.core.engine import Engine
from ipmasq.core.offloading import (
    Command,
    Counters,
    Marks,
    Move,
    Offload,
    Rewrite,
    Track,
    Traffic,
    Withdraw,
)
from ipmasq.core.offloading import command as command_for
from ipmasq.core.speaker import Speaker
from ipmasq.planes.fastpath import FlowTable, Reading
from ipmasq.wire import ipv4

UNKNOWN = None, None
PROTOCOLS = (ipv4.TCP, ipv4.UDP)
IPV4_KEY = 12
SLICE = 1000
"""Flows that are read at a time, which takes a millisecond."""


class Entry:
    """A flow in the fast path: the slots of its directions with the marks of their latest readings, and
    whether it is offloaded."""

    __slots__ = (
        "flow",
        "is_filled",
        "offloaded",
        "original",
        "original_mark",
        "reply",
        "reply_mark",
        "unkept",
    )

    def __init__(self, flow: int, original: int, reply: int, offloaded: bool) -> None:
        self.flow = flow
        self.original, self.reply = original, reply
        self.original_mark = self.reply_mark = 0
        self.offloaded = offloaded
        self.is_filled = False
        """Whether its slots are still as they were filled from a row, since nobody knows the positions of its ends."""
        self.unkept = 0
        """What was counted since the record of the flow was written: see `ipmasq.core.tally.Tally`."""


class Offloader:
    def __init__(
        self,
        engine: Engine,
        table: FlowTable,
        clock: Callable[[], float],
        is_heir: bool = True,
    ) -> None:
        """Let the verdicts of `engine` carry commands for this object, and let the engine get its counters
        here, unless the table holds nothing. `clock` is the engine's, and the kernel's monotonic one. `is_heir`:
        whether the engine has the flows that are in the table."""
        self._engine = engine
        self._table = table
        self._clock = clock
        self._last_restored = engine.manager.opened if is_heir else -1
        """The flow that was opened last before this object was made. Later ones can inherit nothing."""
        self._entries: dict[int, Entry] = {}
        self._unread: list[Entry] = []
        self.refused = 0
        """The number of flows for which the table had no room."""
        self._refused: set[int] = set()
        """Those of them that are alive."""
        self.tally = engine.manager.offloading.tally
        """Of what was forwarded, as far as is known, by this fast path and by earlier ones of the engine."""
        self.tally.keep_all()
        if table.capacity:
            engine.set_counter_source(self.counters)
        engine.set_mark_source(self._marks if table.capacity else None)

    @property
    def entered(self) -> int:
        """The number of flows in the table, offloaded or not."""
        return len(self._entries)

    @property
    def room(self) -> int:
        """The number of flows that the table can hold; 0 if there is no fast path."""
        return self._table.capacity // 2

    def numbers(self) -> list[int]:
        """The flows that are offloaded."""
        return [entry.flow for entry in self._entries.values() if entry.offloaded]

    # -- from the engine to the fast path

    def carry_out(self, commands: Sequence[Command]) -> None:
        """Carry out commands. Each may be repeated, and any may be left out, which leaves packets to the
        engine. But a flow whose `Withdraw` is left out stays."""
        for command in commands:
            if isinstance(command, Offload | Track):
                self._follow(command)
            elif isinstance(command, Move):
                self._move(command)
            elif isinstance(command, Withdraw):
                self.withdraw(command.flow)

    def _follow(self, command: Offload | Track) -> None:
        entry, offloaded = self._entries.get(command.flow), isinstance(command, Offload)
        if entry is None:
            self._enter(command, offloaded)
        elif entry.is_filled:
            self._report(entry)
        elif offloaded is not entry.offloaded:
            self._set(entry, command)
            if not offloaded:
                self._report(entry)

    def _set(self, entry: Entry, command: Offload | Track) -> None:
        """Let the slots of a flow be in its state."""
        entry.offloaded, was_filled = isinstance(command, Offload), entry.is_filled
        entry.is_filled = False
        for slot, half in (entry.original, command.original), (entry.reply, command.reply):
            if entry.offloaded or was_filled:
                self._table.offload(slot, half)
            if not entry.offloaded:
                self._table.track(slot)

    def _enter(self, command: Offload | Track, offloaded: bool) -> None:
        if not _can_be_offloaded(command.original):
            return
        if self._table.inherits and self._adopt(command, offloaded):
            return
        now, marks = self._clock(), self._engine.take_marks(command.flow) or (0, 0)
        original = self._table.insert(command.original, offloaded, now, marks[0])
        reply = self._table.insert(command.reply, offloaded, now, marks[1])
        if original is not None and reply is not None:
            entry = Entry(command.flow, original, reply, offloaded)
            entry.original_mark, entry.reply_mark = marks
            self._entries[command.flow] = entry
            self._refused.discard(command.flow)
            return
        if command.flow not in self._refused:
            self._refused.add(command.flow)
            self.refused += 1
        for slot in (original, reply):
            if slot is not None:
                self._table.remove(slot, 0, now)

    def _adopt(self, command: Offload | Track, offloaded: bool) -> bool:
        """Take over the slots of a flow that an earlier process has entered. Return whether it has both. If another
        flow had them, they are emptied."""
        # The record of a flow may be older than its slots, which know its positions.
        awaited = self._engine.lacks_positions(command.flow)
        offloaded = offloaded or awaited
        now, (since, reply_since) = self._clock(), self._engine.take_marks(command.flow) or UNKNOWN
        original = self._table.adopt(command.original, offloaded, since, now)
        reply = self._table.adopt(command.reply, offloaded, reply_since, now)
        unknown = awaited and (original and original.traffic) is None
        if original is None or reply is None or unknown or command.flow > self._last_restored:
            for each in (original, reply):
                if each is not None:
                    self._table.remove(each.slot, each.mark, now)
            return False
        entry = Entry(command.flow, original.slot, reply.slot, offloaded)
        entry.original_mark, entry.reply_mark = original.mark, reply.mark
        self._entries[command.flow] = entry
        counters = original.traffic, reply.traffic
        entry.is_filled = original.is_filled or reply.is_filled
        if counters != NOTHING:
            for traffic in counters:
                self._count(entry, traffic)
            self._engine.report(command.flow, counters, not entry.is_filled)
        self._settle(entry)
        return True

    def _settle(self, entry: Entry) -> None:
        """Let slots that were filled from a row be in the state of their flow, as soon as the positions of its ends are known.
        Until then they forward every segment, as the engine would: what is forged comes to the engine in one queue with
        whatever it has to forward, so flows must not be left to it because of that."""
        if entry.is_filled and not self._engine.lacks_positions(entry.flow):
            flow = self._engine.table.flow(entry.flow)
            if flow is not None:
                self._set(entry, command_for(flow))

    def _adopt_on_demand(self, flow: int) -> None:
        """Take over the slots of a flow that was not restated yet, before anything is judged by what was seen."""
        known = self._engine.table.flows.get(flow)
        if known is not None:
            command = command_for(known)
            if _can_be_offloaded(command.original):
                self._adopt(command, isinstance(command, Offload))

    def expect(self) -> None:
        """Let all flows that the engine knows now inherit what will be filled. Later ones can inherit nothing."""
        self._last_restored = self._engine.manager.opened

    def fill(self, rows: bytes) -> None:
        """Enter flows that the engine has not restored yet, by their rows."""
        self._table.fill(rows, self._clock())

    def discard(self) -> bool:
        """Empty some slots of flows that an earlier process has entered and that are not alive here. Return whether
        there are more. To be called when the engine knows all flows that are to continue."""
        return self._table.discard()

    def _marks(self, flow: int) -> Marks | None:
        """Return the marks of the latest readings of a flow, for a successor: the engine's `MarkSource`."""
        entry = self._entries.get(flow)
        if entry is None:
            return None
        self._keep(entry)
        return entry.original_mark, entry.reply_mark

    def _keep(self, entry: Entry) -> None:
        self.tally.keep(entry.unkept)
        entry.unkept = 0

    def _move(self, command: Move) -> None:
        entry = self._entries.get(command.flow)
        if entry is not None and entry.offloaded:
            slot = entry.original if command.speaker is Speaker.CLIENT else entry.reply
            self._table.move(slot, command.before, command.after)

    def withdraw(self, flow: int) -> None:
        """Remove a flow; its counters are reported first."""
        self._refused.discard(flow)
        entry = self._entries.pop(flow, None)
        if entry is not None:
            self._report_reading(entry, self._table.remove)
            self._keep(entry)

    def stop(self) -> None:
        """Report all counters for the last time."""
        self.refresh()
        self._engine.set_counter_source(None)

    # -- from the fast path to the engine

    def counters(self, flow: int) -> Counters | None:
        """Return the flow's counters: the engine's `CounterSource`."""
        entry = self._entries.get(flow)
        if entry is None and self._table.inherits and flow <= self._last_restored:
            self._adopt_on_demand(flow)
            entry = self._entries.get(flow)
        if entry is not None and entry.is_filled:
            self._report(entry)
        if entry is None or not entry.offloaded or entry.is_filled:
            return None
        return self._read(entry, self._table.read)

    def tick(self, until: float = inf) -> None:
        """Renew the heartbeat; called about once a second. The fast path forwards no longer than `until`."""
        now = self._clock()
        self._table.heartbeat(now, until - now)

    def limit(self, until: float) -> None:
        """Let the fast path forward no longer than until a moment, at most until the next heartbeat is due."""
        now = self._clock()
        self._table.limit(now, until - now)

    def forget(self) -> None:
        """Remove all flows; their counters are reported first."""
        for flow in list(self._entries):
            self.withdraw(flow)

    def read_on(self) -> bool:
        """Report the counters of the next flows. Return whether there are more in this round. Reading a
        million flows at once would delay packets for seconds."""
        if not self._unread:
            self._unread = list(self._entries.values())
        for entry in self._unread[-SLICE:]:
            if entry.offloaded and self._entries.get(entry.flow) is entry:
                self._report(entry)
        del self._unread[-SLICE:]
        return bool(self._unread)

    def refresh(self) -> None:
        """Report the counters of all flows."""
        self._unread = []
        while self.read_on():
            pass

    def _report(self, entry: Entry) -> None:
        self._report_reading(entry, self._table.read)
        self._settle(entry)

    def _report_reading(self, entry: Entry, read: Read) -> None:
        """Tell the engine what was forwarded of a flow since the latest reading."""
        counters = self._read(entry, read)
        if counters != NOTHING:
            self._engine.report(entry.flow, counters, not entry.is_filled)

    def _read(self, entry: Entry, read: Read) -> Counters:
        now = self._clock()
        original = read(entry.original, entry.original_mark, now)
        reply = read(entry.reply, entry.reply_mark, now)
        if original is not None:
            entry.original_mark = original.mark
        if reply is not None:
            entry.reply_mark = reply.mark
        return self._counted(entry, original), self._counted(entry, reply)

    def _counted(self, entry: Entry, reading: Reading | None) -> Traffic | None:
        traffic = reading.traffic if reading is not None else None
        self._count(entry, traffic)
        return traffic

    def _count(self, entry: Entry, traffic: Traffic | None) -> None:
        if traffic is not None:
            entry.unkept += self.tally.add(traffic.packets, traffic.bytes)


Read = Callable[[int, int, float], Reading | None]
NOTHING: Counters = (None, None)


def _can_be_offloaded(half: Rewrite) -> bool:
    return half.protocol in PROTOCOLS and len(half.match) == IPV4_KEY
