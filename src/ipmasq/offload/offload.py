"""Every flow is entered into the fast path: what has settled to be repeated, the others as known, so that
a flood of strangers is told from them. What no longer is leaves it, and what the fast path has counted
comes back to the engine before anything is judged by it.

An order matters: an entry must be gone before any packet leaves that could bring about one which it
would answer wrongly. So whoever drives the engine passes events on before the packets of a verdict,
whenever `Engine.is_pressing`. Entering may take its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event, FlowClosed, FlowOpened, FlowSettled, FlowUnsettled
from ipmasq.core.repeat import Answers, Repeated, Traffic
from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.table import Repeater, Report
from ipmasq.wire import ipv4

REPEATABLE = (ipv4.TCP, ipv4.UDP)
IPV4_KEY = 12
SHARE = 20
"""Reading the whole table may take one part in so many of the time."""


class Entry:
    """A flow in the fast path: its keys there, whether it is repeated or only known to be the engine's,
    and the counters as they were last read."""

    __slots__ = ("back", "back_before", "flow", "forth", "forth_before", "repeated")

    def __init__(self, flow: int, forth: bytes, back: bytes) -> None:
        self.flow = flow
        self.forth, self.back = forth, back
        self.forth_before = self.back_before = 0
        self.repeated = False


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
        self.packets = 0
        """Packets that went by there, as far as is known; `bytes` of them."""
        self.bytes = 0
        engine.consult(self.ask)

    def numbers(self) -> list[int]:
        """The flows that are repeated."""
        return [entry.flow for entry in self._entries.values() if entry.repeated]

    # -- from the engine to the fast path

    def listen(self, happened: Sequence[Event]) -> None:
        """Follow events; what they call for has been done when this returns."""
        changed: dict[int, None] = {}
        for event in happened:
            if isinstance(event, FlowOpened | FlowSettled):
                changed[event.flow] = None
            elif isinstance(event, FlowUnsettled):
                self.remove(event.flow)
                changed[event.flow] = None
            elif isinstance(event, FlowClosed):
                changed.pop(event.flow, None)
                self.remove(event.flow)
        if self._lost != self._engine.lost_events:
            self._make_up(changed)
        if changed:
            self._enter(changed)

    def _enter(self, flows: Iterable[int]) -> None:
        """As what they are now."""
        settled: list[tuple[Entry, Answers]] = []
        others: list[tuple[Entry, Answers]] = []
        for flow in flows:
            answers = self._engine.answers(flow)
            if answers is None or not _can_be_repeated(answers.forth):
                continue
            entry = self._entries.get(flow)
            if entry is not None and entry.repeated is answers.settled:
                continue
            entry = entry or self._make(flow, answers)
            if entry is None:
                self.refused += 1
            elif answers.settled:
                settled.append((entry, answers))
            else:
                others.append((entry, answers))
        self._insert(others, False)
        self._insert(settled, True)

    def _make(self, flow: int, answers: Answers) -> Entry | None:
        """None if there is no room."""
        if 2 * (len(self._entries) + 1) > self._table.capacity:
            return None
        entry = Entry(flow, key(answers.forth), key(answers.back))
        self._entries[flow] = self._by_key[entry.forth] = self._by_key[entry.back] = entry
        return entry

    def _insert(self, entries: Sequence[tuple[Entry, Answers]], repeated: bool) -> None:
        values: list[tuple[bytes, bytes]] = []
        for entry, answers in entries:
            values += [(entry.forth, answers.forth.wire), (entry.back, answers.back.wire)]
            entry.repeated = repeated
            entry.forth_before = entry.back_before = 0
        taken = self._table.insert(values, self._clock(), repeated) // 2 if values else 0
        for entry, _ in entries[taken:]:
            self.remove(entry.flow)
            self.refused += 1

    def remove(self, flow: int) -> None:
        """Forget it; what was counted comes back first."""
        entry = self._entries.pop(flow, None)
        if entry is None:
            return
        del self._by_key[entry.forth], self._by_key[entry.back]
        forth, back = self._table.remove(entry.forth), self._table.remove(entry.back)
        if entry.repeated:
            self._report(entry, forth, back, self._clock())

    def clear(self) -> None:
        for flow in list(self._entries):
            self.remove(flow)

    def stop(self) -> None:
        """Bring back all that was counted, for the last time."""
        self.refresh()
        self._engine.consult(None)

    def _make_up(self, changed: dict[int, None]) -> None:
        """Events were lost: look at every flow."""
        self._lost = self._engine.lost_events
        for entry in list(self._entries.values()):
            answers = self._engine.answers(entry.flow)
            if answers is None or (entry.repeated and not answers.settled):
                self.remove(entry.flow)
            if answers is not None:
                changed[entry.flow] = None

    # -- from the fast path to the engine

    def ask(self, flow: int) -> None:
        """Bring the engine what has been seen of a flow."""
        entry = self._entries.get(flow)
        if entry is not None and entry.repeated:
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
