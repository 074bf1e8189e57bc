"""What has settled is entered into the fast path, what no longer is leaves it, and what the fast path
has counted comes back to the engine before anything is judged by it.

An order matters: an entry must be gone before any packet leaves that could bring about one which it
would answer wrongly. So whoever drives the engine passes events on before the packets of a verdict,
whenever `Engine.is_pressing`. Entering may take its time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event, FlowClosed, FlowSettled, FlowUnsettled
from ipmasq.core.repeat import Repeated, Traffic
from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.table import Repeater, Report
from ipmasq.wire import ipv4

REPEATABLE = (ipv4.TCP, ipv4.UDP)
IPV4_KEY = 12
SHARE = 20
"""Reading the whole table may take one part in so many of the time."""


class Entry:
    """A flow in the fast path: its keys there, and the counters as they were last read."""

    __slots__ = ("back", "back_before", "flow", "forth", "forth_before")

    def __init__(self, flow: int, forth: bytes, back: bytes) -> None:
        self.flow = flow
        self.forth, self.back = forth, back
        self.forth_before = self.back_before = 0


def key(half: Repeated) -> bytes:
    return layout.Key.pack(half.key, half.protocol, half.side, 0)


class Offload:
    def __init__(self, engine: Engine, table: Repeater, clock: Callable[[], float]) -> None:
        """From now on `engine` asks here. `clock`: the engine's, and the monotonic one of the kernel."""
        self._engine = engine
        self._table = table
        self._clock = clock
        self._entries: dict[int, Entry] = {}
        self._by_key: dict[bytes, Entry] = {}
        self._lost = engine.lost_events
        self._refreshed = clock()
        self._pause = 1.0
        self.refused = 0
        """Flows for which the table had no room."""
        self.entered = 0
        self.packets = 0
        """Packets that went by there, as far as is known; `bytes` of them."""
        self.bytes = 0
        engine.consult(self.ask)

    def __len__(self) -> int:
        return len(self._entries)

    def numbers(self) -> list[int]:
        """The flows that are repeated."""
        return list(self._entries)

    # -- from the engine to the fast path

    def listen(self, happened: Sequence[Event]) -> None:
        """Follow events; what they call for has been done when this returns."""
        new: dict[int, None] = {}
        for event in happened:
            if isinstance(event, FlowSettled):
                new[event.flow] = None
            elif isinstance(event, FlowUnsettled | FlowClosed):
                new.pop(event.flow, None)
                self.remove(event.flow)
        if self._lost != self._engine.lost_events:
            self._make_up()
        if new:
            self._enter(list(new))

    def _enter(self, flows: Sequence[int]) -> None:
        entries: list[Entry] = []
        values: list[tuple[bytes, bytes]] = []
        for flow in flows:
            halves = self._engine.halves(flow)
            if halves is None or flow in self._entries or not _can_be_repeated(halves[0]):
                continue
            if 2 * (len(self._entries) + len(entries) + 1) > self._table.capacity:
                self.refused += 1
                continue
            forth, back = halves
            entry = Entry(flow, key(forth), key(back))
            entries.append(entry)
            values += [(entry.forth, forth.wire), (entry.back, back.wire)]
        taken = self._table.insert(values, self._clock()) // 2 if values else 0
        for entry in entries[:taken]:
            self._entries[entry.flow] = entry
            self._by_key[entry.forth] = self._by_key[entry.back] = entry
        self.entered += taken
        if taken < len(entries):
            # The first that was not taken may have left one half behind.
            self._table.remove(entries[taken].forth)
            self.refused += len(entries) - taken

    def remove(self, flow: int) -> None:
        """Repeat it no longer; what was counted comes back first."""
        entry = self._entries.pop(flow, None)
        if entry is None:
            return
        del self._by_key[entry.forth], self._by_key[entry.back]
        forth, back = self._table.remove(entry.forth), self._table.remove(entry.back)
        self._report(entry, forth, back, self._clock())

    def clear(self) -> None:
        for flow in list(self._entries):
            self.remove(flow)

    def stop(self) -> None:
        """Bring back all that was counted, for the last time."""
        self.refresh()
        self._engine.consult(None)

    def _make_up(self) -> None:
        """Events were lost: look at every flow."""
        self._lost = self._engine.lost_events
        for flow in list(self._entries):
            if self._engine.halves(flow) is None:
                self.remove(flow)

    # -- from the fast path to the engine

    def ask(self, flow: int) -> None:
        """Bring the engine what has been seen of a flow."""
        entry = self._entries.get(flow)
        if entry is not None:
            forth, back = self._table.read(entry.forth), self._table.read(entry.back)
            self._report(entry, forth, back, self._clock())

    def tick(self) -> None:
        """To be called about once a second."""
        now = self._clock()
        self._table.beat(now)
        if now - self._refreshed >= self._pause:
            self.refresh()
            took = self._clock() - now
            self._pause = max(1.0, SHARE * took)

    def refresh(self) -> None:
        """Bring the engine all that has been seen of any flow."""
        self._refreshed = now = self._clock()
        for at, report in self._table.dump():
            entry = self._by_key.get(at)
            if entry is None:
                continue
            if at == entry.forth:
                if report.traffic != entry.forth_before:
                    self._report(entry, report, None, now)
            elif report.traffic != entry.back_before:
                self._report(entry, None, report, now)

    def _report(self, entry: Entry, forth: Report | None, back: Report | None, now: float) -> None:
        there = here = None
        if forth is not None:
            there = self._traffic(forth, entry.forth_before, now)
            entry.forth_before = forth.traffic
        if back is not None:
            here = self._traffic(back, entry.back_before, now)
            entry.back_before = back.traffic
        self._engine.report(entry.flow, there, here)

    def _traffic(self, report: Report, before: int, now: float) -> Traffic:
        packets, size = layout.counted(report.traffic, before)
        self.packets += packets
        self.bytes += size
        seen = layout.seconds(report.seen, now)
        return Traffic(seen, packets, size, report.end, report.acknowledged)


def _can_be_repeated(half: Repeated) -> bool:
    return half.protocol in REPEATABLE and len(half.key) == IPV4_KEY
