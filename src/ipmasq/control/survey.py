"""The rates of flows and hosts: a round through all flows at a time, a few per turn of the loop, while clients ask for
them.

A rate is what was transferred between two readings of a flow, divided by the time between them; of a flow that
was read once, its average since it was opened. Until the first round is complete, the lists are those of the flows
read so far. At a million flows a round takes about half a minute, and its readings about 80 MB.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappush, heappushpop, nlargest
from itertools import chain, islice
from typing import NamedTuple, TypeAlias

from ipmasq.core.engine import Engine
from ipmasq.core.events import Event, FlowClosed
from ipmasq.core.views import Reading
from ipmasq.gateway.loop import Loop
from ipmasq.wire.addresses import Address

AT_ONCE = 100
"""Flows that are read before packets have their turn: about 0.2 ms."""

PAUSE = 0.002
"""Seconds between two turns, so that a round takes a tenth of the time at most."""

ROUND = 1.0
"""The fewest seconds from the beginning of one round to that of the next."""

DEMAND = 30.0
"""Seconds after the last question for which the rounds continue."""

MOST = 1000
"""The longest list of flows or hosts."""


class FlowRate(NamedTuple):
    """The rates of one flow, in bytes per second."""

    total: float
    flow: int
    out: float
    back: float


class HostRate:
    """The live flows of one inside host together, and their rates in bytes per second."""

    __slots__ = ("back", "bytes", "flows", "out")

    def __init__(self) -> None:
        self.flows = self.bytes = 0
        self.out = self.back = 0.0

    @property
    def total(self) -> float:
        return self.out + self.back


_Before: TypeAlias = tuple[float, int, int]
"""The previous reading of a flow: its time, and the bytes to the outside and to the inside until then."""


class _Round:
    """What one round has found so far. The readings are in the order of the flows' numbers."""

    def __init__(self, began: float, newest: int) -> None:
        """`newest` is the number of the latest flow then."""
        self.began = began
        self.newest = newest
        self.is_whole = True
        """Whether no reading has failed."""
        self.flows = array("Q")
        self.at = array("d")
        self.out = array("Q")
        self.back = array("Q")
        self.rate_out = array("f")
        self.rate_back = array("f")
        self.fastest: list[FlowRate] = []
        """A heap of the flows with the highest rates."""
        self.largest: list[FlowRate] = []
        """A heap of the flows with the most bytes, which are its first fields."""
        self.helped: list[int] = []
        """The numbers of the latest flows that a helper inspects or has expected."""
        self.hosts: dict[Address, HostRate] = {}
        self.listed: list[tuple[Address, HostRate]] = []
        """The same, for walks in steps while others are added."""
        self.total_out = self.total_back = 0.0
        """The sums of all rates."""

    def add(self, found: Reading, now: float, before: _Before | None) -> None:
        """Add a reading; `before` is the previous one of this flow."""
        since, out, back = before or (min(found.opened, now - 1), 0, 0)
        seconds = max(now - since, 1e-3)
        rate_out, rate_back = (found.bytes_out - out) / seconds, (found.bytes_in - back) / seconds
        self.flows.append(found.flow)
        self.at.append(now)
        self.out.append(found.bytes_out)
        self.back.append(found.bytes_in)
        self.rate_out.append(rate_out)
        self.rate_back.append(rate_back)
        _keep(self.fastest, FlowRate(rate_out + rate_back, found.flow, rate_out, rate_back))
        carried = found.bytes_out + found.bytes_in
        _keep(self.largest, FlowRate(carried, found.flow, rate_out, rate_back))
        if found.is_helped:
            self.helped.append(found.flow)
            del self.helped[:-MOST]
        host = self.hosts.get(found.host) or self._enter(found.host)
        host.flows += 1
        host.bytes += carried
        host.out += rate_out
        host.back += rate_back
        self.total_out += rate_out
        self.total_back += rate_back

    def _enter(self, host: Address) -> HostRate:
        self.hosts[host] = rate = HostRate()
        self.listed.append((host, rate))
        return rate

    def find(self, flow: int, start: int = 0) -> int | None:
        """Return the place of a flow's reading, which is not before `start`; None if it was not read."""
        flows = self.flows
        if start < len(flows) and flows[start] == flow:
            return start  # mostly so, since rounds have the same order
        position = bisect_left(flows, flow, min(start, len(flows)))
        return position if position < len(flows) and flows[position] == flow else None

    def reading(self, position: int) -> _Before:
        return self.at[position], self.out[position], self.back[position]


def _keep(heap: list[FlowRate], rate: FlowRate) -> None:
    if len(heap) < MOST:
        heappush(heap, rate)
    elif rate > heap[0]:
        heappushpop(heap, rate)


class Survey:
    """Reads nothing unless a client has asked within the last `DEMAND` seconds."""

    def __init__(self, engine: Engine, loop: Loop) -> None:
        self._engine = engine
        self._loop = loop
        self._wanted_until = 0.0
        self._runs = False
        self._current: _Round | None = None
        """The round that is under way."""
        self._last: _Round | None = None
        """The last complete one."""
        self._moved_out = self._moved_in = 0

    def want(self) -> None:
        """Begin, or continue for another while."""
        self._wanted_until = self._loop.clock() + DEMAND
        if not self._runs:
            self._runs = True
            self._begin()

    # -- what is known

    @property
    def is_complete(self) -> bool:
        """Whether every flow was read at least once."""
        return self._last is not None

    @property
    def age(self) -> float:
        """Seconds since the round began whose results are given."""
        return self._loop.clock() - self._found().began

    @property
    def rates(self) -> tuple[float, float]:
        """The sum of all rates to the outside and to the inside, in bytes per second."""
        found = self._found()
        return found.total_out, found.total_back

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes to the outside and to the inside, counted since the first question."""
        return self._moved_out, self._moved_in

    def flows(self, by: str, most: int) -> Sequence[FlowRate]:
        """Return the flows with the highest rates (`rate`), or with the most bytes (`bytes`)."""
        heap = self._found().fastest if by == "rate" else self._found().largest
        return nlargest(most, heap)

    def rate(self, flow: int) -> tuple[float, float] | None:
        """Return the rates of one flow to the outside and to the inside; None if it was not read yet."""
        found = self._found()
        position = found.find(flow)
        return None if position is None else (found.rate_out[position], found.rate_back[position])

    @property
    def helped(self) -> Sequence[int]:
        """The numbers of the latest flows that a helper inspects or has expected, at most `MOST`."""
        return self._found().helped

    @property
    def hosts(self) -> dict[Address, HostRate]:
        return self._found().hosts

    @property
    def listed(self) -> Sequence[tuple[Address, HostRate]]:
        """The hosts, of which more may come in a first round."""
        return self._found().listed

    def _found(self) -> _Round:
        found = self._last or self._current
        return found or _Round(self._loop.clock(), 0)

    # -- rounds

    def observe(self, events: Sequence[Event]) -> None:
        """Count what flows have transferred between their last reading and their end."""
        if not self._runs:
            return
        for event in events:
            if isinstance(event, FlowClosed):
                before = self._latest(event.flow)
                self._count(event.bytes_out, event.bytes_in, before)

    def _latest(self, flow: int) -> _Before | None:
        for found in (self._current, self._last):
            position = found.find(flow) if found is not None else None
            if found is not None and position is not None:
                return found.reading(position)
        return None

    def _count(self, out: int, back: int, before: _Before | None) -> None:
        """Add what is new since the reading before. What was transferred before the first round does not count."""
        if before is not None:
            self._moved_out += out - before[1]
            self._moved_in += back - before[2]
        elif self._last is not None:
            self._moved_out += out
            self._moved_in += back

    def _begin(self) -> None:
        """Begin a round, or end the rounds if no client asks any more."""
        now = self._loop.clock()
        if now > self._wanted_until:
            self._runs = False
            self._current = self._last = None
            return
        self._current = _Round(now, self._engine.manager.opened)
        self._read_some(self._current, iter(self._numbers(self._current)), 0)

    def _numbers(self, current: _Round) -> Iterable[int]:
        """Return the numbers of the flows to read, in their order. Only the first round, one after a failure, or after
        many flows have come, needs a copy of them, which takes 25 ms per million flows."""
        last, table = self._last, self._engine.table
        if last is None or not last.is_whole or current.newest - last.newest > table.count:
            # Flows that have come from another member of a group have numbers far from those before.
            return table.numbers()
        return chain(last.flows, range(last.newest + 1, current.newest + 1))

    def _read_some(self, current: _Round, numbers: Iterator[int], position: int) -> None:
        some = list(islice(numbers, AT_ONCE))
        if not some:
            self._last, self._current = current, None
            self._loop.later(max(PAUSE, current.began + ROUND - self._loop.clock()), self._begin)
            return
        # Planned first, so that a failure does not end the rounds.
        self._loop.later(PAUSE, lambda: self._read_some(current, numbers, position))
        try:
            position = self._add(current, some, position)
        except Exception:
            current.is_whole = False
            raise

    def _add(self, current: _Round, some: Iterable[int], position: int) -> int:
        """Read these flows. `place` is that of their first reading in the last round, as far as is known; return the
        place for the next ones."""
        now, last = self._loop.clock(), self._last
        for found in self._engine.readings(some):
            at = last.find(found.flow, position) if last is not None else None
            before = None
            if last is not None and at is not None:
                position, before = at + 1, last.reading(at)
            current.add(found, now, before)
            self._count(found.bytes_out, found.bytes_in, before)
        return position
