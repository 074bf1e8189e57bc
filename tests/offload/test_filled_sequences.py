"""Whatever happens in the minute after a takeover, in whatever order: forged segments, restored flows, crashes. Then each
connection goes on in the fast path, and the engine knows all that was forwarded and where its ends are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from ipmasq.core.changes import Kind
from ipmasq.core.engine import Engine
from ipmasq.core.restoring import compacted
from ipmasq.core.side import Side
from ipmasq.core.tcp_states import State
from ipmasq.planes.ebpf.layout import Hook
from tests.conformance import packets
from tests.conformance.packets import ACK, FIN, RST, SYN
from tests.core.restored import plain, serialised, written
from tests.core.stress import INNER, OUTER, POLICY
from tests.offload.test_filled import Member, Talk
from tests.planes.ebpf.kernel import Kernel, network
from tests.planes.ebpf.model import Model

Make = Callable[[], Any]
"""Makes a `Model`, or a `Kernel`, which is like one."""
ALL = 1 << 32
MOST = 40_000
"""Bytes in flight, less than the smallest window of these connections."""


class Connection(Talk):
    """A talk whose ends send data, and what was forwarded of it."""

    def __init__(self, port: int, chance: Random) -> None:
        super().__init__(port, is_tcp=chance.random() < 0.7)
        self.chance, self.id = chance, 0
        self.numbers, self.acknowledged = [100, 500], [100, 500]
        """Of client and server: what each has sent, and how much of it the other has acknowledged."""
        self.forwarded: list[int] = []

    def jump(self) -> None:
        """Send much that the record does not know of."""
        self.numbers = [self.chance.randrange(ALL) for _ in range(2)]
        self.acknowledged = self.numbers.copy()

    def say(self, member: Member, end: int) -> bool:
        """Send data of one end. Return whether the fast path has forwarded it."""
        room = (self.acknowledged[end] + MOST - self.numbers[end]) % ALL
        self.numbers[end] = (self.numbers[end] + self.chance.choice((0, room // 2, room))) % ALL
        self.acknowledged[1 - end] = self.numbers[1 - end]
        self._count(end, 40 if self.is_tcp else 36)
        at = self.numbers[end], self.numbers[1 - end]
        return (self.out, self.back)[end](member, at)

    def forge(self, member: Member, end: int) -> None:
        """Send a segment in the name of an end without seeing the connection."""
        if not self.is_tcp:
            return
        flags = self.chance.choice((ACK, ACK, ACK, RST, RST | ACK, FIN | ACK, SYN, SYN | ACK))
        numbers = self.chance.randrange(ALL), self.chance.randrange(ALL)
        ends = ((INNER[0], self.port, OUTER[0], 80), (OUTER[0], 80, *self.public))[end]
        member.send(packets.tcp(*ends, flags, *numbers), Side(end))
        self._count(end, 40)

    def _count(self, end: int, size: int) -> None:
        if self.forwarded:
            self.forwarded[2 * end] += 1
            self.forwarded[2 * end + 1] += size

    def check(self, member: Member) -> None:
        for end in (0, 1, 0, 1):
            self.say(member, end)
        member.carry_out()
        assert all(self.say(member, end) for end in (0, 1))
        assert list(member.counts(self.id)) == self.forwarded
        flow = member.flow(self.id)
        if self.is_tcp:
            assert flow.state is State.ESTABLISHED
            for number, known in zip(
                self.numbers, (flow.original.end, flow.reply.end), strict=True
            ):
                assert number == known


class Minute:
    """The minute after a takeover."""

    def __init__(self, seed: int, make: Make) -> None:
        self.chance = Random(seed)
        first = make() if self.chance.random() < 0.7 else Model(capacity=0)
        before = Member(Engine(POLICY, Random(1).randrange, 0.0), 1.0, first)
        self.all = [Connection(4000 + n, self.chance) for n in range(self.chance.randrange(1, 8))]
        for each in self.all:
            each.open(before)
        before.carry_out()
        before.offload.refresh()
        numbers = {view.inside.port: view.id for view in before.engine.flows()}
        for each in self.all:
            each.id = numbers[each.port]
            each.forwarded = list(before.counts(each.id))
            if self.chance.random() < 0.6:
                each.jump()
        self.store = plain(before.engine, before.now)
        self.member = self._begin(before.now + 1, make())
        unrestored = self.member.engine.table.unrestored
        assert unrestored is not None
        self.rows = unrestored.rows(self.chance.randrange(1, 4))

    def _begin(self, now: float, fast: Any) -> Member:
        others, compact = compacted(written(self.store, now))
        engine = Engine.from_records(POLICY, Random(1).randrange, others, now, True, compact)
        return Member(engine, now, fast)

    def happen(self) -> None:
        """Let one thing happen."""
        one, end = self.chance.choice(self.all), self.chance.randrange(2)
        things: list[tuple[int, Callable[[], object]]] = [
            (20, self.fill),
            (40, lambda: one.say(self.member, end)),
            (14, lambda: one.forge(self.member, end)),
            (8, self.restore),
            (6, self.member.offload.refresh),
            (4, lambda: self.member.engine.apply(POLICY, self.member.now)),
            (2, self.crash),
        ]
        weights = [weight for weight, _ in things]
        self.chance.choices([thing for _, thing in things], weights)[0]()

    def fill(self) -> bool:
        rows = next(self.rows, None)
        if rows is not None:
            self.member.offload.fill(rows)
        return rows is not None

    def restore(self) -> None:
        self.enter(self.member.engine.restore_some(1))

    def enter(self, flows: list[int]) -> None:
        for flow in flows:
            self.member.engine.restate(flow)
        self.member.carry_out()

    def crash(self) -> None:
        """Begin anew from what was written of flows that were restored, and with the table as it is."""
        member, fast = self.member, self.member.fast
        member.engine.keep_changes()
        member.engine.mark_flows(0, len(self.all))
        changed = {each[1]: each for each in serialised(member.engine.changed(member.now))}
        self.store = [
            changed.get(each[1], each) if each[0] == Kind.FLOW else each for each in self.store
        ]
        fast.inherit()
        self.member = self._begin(member.now, fast)
        self.rows = iter(())
        self.enter(list(self.member.engine.table.flows))

    def end(self) -> None:
        while self.fill():
            pass
        self.member.restore()
        for each in self.all:
            each.check(self.member)
        self.member.engine.check()
        fast: Any = self.member.fast
        assert not fast.inherits
        used = len(fast.slots) if isinstance(fast, Model) else fast.table._used
        assert used == 2 * len(self.all)


@pytest.fixture(params=["model", *(pytest.param(each, marks=pytest.mark.live) for each in Hook)])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    if request.param == "model":
        yield Model
        return
    made: list[Kernel] = []
    with network() as devices:

        def kernel() -> Kernel:
            made.append(Kernel(devices, request.param))
            return made[-1]

        yield kernel
        for each in made:
            each.close()


def test_after_any_sequence_each_connection_goes_on_and_all_is_counted(make: Make) -> None:
    for seed in range(300 if make is Model else 10):
        minute = Minute(seed, make)
        for _ in range(minute.chance.randrange(5, 120)):
            minute.happen()
        minute.end()
