"""Flows that are restored later: nobody can tell them from flows that were restored at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from ipmasq.core import events, restoring
from ipmasq.core.changes import Key, Kind
from ipmasq.core.compact import Compact
from ipmasq.core.engine import Engine
from ipmasq.core.plain import StateError
from ipmasq.core.policy import Policy, PortRange, Ports, port_set
from ipmasq.core.reasons import Reason
from ipmasq.core.records import INSPECTOR
from ipmasq.core.restoring import Kept, compacted
from ipmasq.core.side import Side
from ipmasq.core.unrestored import _foreign
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.core.restored import Journal, Restored, difference, kept, plain, tidy_pools
from tests.core.stress import INNER, OUTER, POLICY, PUBLIC, Stress

START = 2.0**24


class Later(Restored):
    """The second engine is replaced by one whose plain flows are not restored yet, from what a store would have."""

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.journal = Journal(self.replaced, now)
        self.waited = 0

    def restart(self, now: float) -> None:
        """As after a crash, whether or not everything from the last one is restored."""
        self.events()
        tidy_pools(self.steady)
        before = self.replaced
        before.refresh(0, 1 << 40, 0.0)
        before.mark_small()
        others, compact = self.left(before, now)
        used = tuple(each.use for each in before.manager.registered.values())
        policy = replace(before.policy, helpers=used)
        made = type(before).from_records(
            policy, self.chance.randrange, others, now, compact=compact
        )
        made.reserve(before.table.mappings.host.reserved)
        made.keep_changes()
        self.waited += made.table.count - len(made.table.flows)
        self.replaced = made
        assert made.events() == []
        self.restarts += 1

    def left(self, before: Engine, now: float) -> tuple[list[Kept], restoring.Later]:
        """What a store has of the last engine."""
        self.journal.follow(before, now)
        return compacted((self.journal.last | unwritten(before, now)).values())

    def compare(self, now: float) -> None:
        """Both have the same state. After that, everything is restored."""
        one, other = plain(self.steady, now), plain(self.replaced, now)
        assert one == other, difference("state", one, other)

    def deadline(self) -> float | None:
        """The second one may have something to do earlier: to restore what will be due."""
        self.replaced.deadline()
        return self.steady.deadline()


def unwritten(engine: Engine, now: float) -> dict[Key, Kept]:
    """Records that are not written as they change: of fragments and of early segments."""
    return {
        (each.kind, each.key): each
        for each in kept(engine, now)
        if each.kind == Kind.DATAGRAM or (each.kind == Kind.FLOW and each.row[INSPECTOR])  # type: ignore[index]
    }


class LaterStress(Stress):
    def __init__(self, both: Later | None = None) -> None:
        super().__init__(START)
        self.both = both or Later(START)
        self.engine = self.both  # type: ignore[assignment]


QUIET = tuple(
    each for each in Stress.EVENTS if each not in (*Stress.OPERATOR, Stress.wait)
)  # fmt: skip
"""What happens without an operator, who seldom acts, and without hours of silence, in which all flows end."""


def happens(stress: LaterStress, chance: Random, steps: int) -> None:
    for _ in range(steps):
        chosen = Stress.EVENTS if chance.randrange(12) == 0 else QUIET
        chosen[chance.randrange(len(chosen))](stress, chance.randrange)
        kind = chance.randrange(30)
        if kind == 0:
            stress.both.restart(stress.now)
        elif kind == 1:
            stress.both.replaced.restore_some(1 + chance.randrange(3))
        elif kind == 2:
            stress.both.compare(stress.now)
        stress.both.replaced.check()


@pytest.mark.parametrize("seed", range(8))
def test_an_engine_that_restores_later_does_the_same_as_one_that_was_never_replaced(seed: int):
    """Packets, ends, reloads, a further restart and a reader of the whole state come in between."""
    stress = LaterStress()
    happens(stress, Random(seed), 600)
    stress.both.compare(stress.now)
    assert stress.both.restarts > 5
    assert stress.both.waited > 5


# -- one thing at a time


CLIENT, SERVER = INNER[0], OUTER[0]


def send(engine: Engine, data: bytes, side: Side, now: float) -> Reason:
    return engine.receive(Packet(bytearray(data)), side, now).reason


def talked(policy: Policy = POLICY, flows: int = 3) -> Engine:
    """An engine with answered UDP flows from one inside endpoint each."""
    engine = Engine(policy, Random(1).randrange, START)
    for number in range(flows):
        out = Packet(bytearray(packets.udp(CLIENT, 5000 + number, SERVER, 53, b"?")))
        (sent,) = engine.receive(out, Side.INSIDE, START).packets
        public = packets.read(bytes(sent.data)).source
        answer = packets.udp(SERVER, 53, *public, b"!")
        assert send(engine, answer, Side.OUTSIDE, START) is Reason.TRANSLATED
    return engine


def later(engine: Engine, now: float = START, policy: Policy | None = None) -> Engine:
    others, compact = compacted(kept(engine, START))
    made = Engine.from_records(policy or POLICY, Random(2).randrange, others, now, compact=compact)
    made.check()
    return made


def waiting(engine: Engine) -> int:
    return engine.table.count - len(engine.table.flows)


def test_nothing_is_restored_before_something_asks_for_it() -> None:
    engine = later(talked())
    assert (engine.table.count, waiting(engine)) == (3, 3)
    assert not engine.is_restored
    assert engine.table.hosts == {CLIENT: 3}
    assert engine.table.mappings.ports == {(17, CLIENT): 3}


def test_a_packet_restores_its_flow_and_no_other() -> None:
    engine = later(talked())
    again = packets.udp(CLIENT, 5001, SERVER, 53, b"again")
    assert send(engine, again, Side.INSIDE, START) is Reason.TRANSLATED
    assert waiting(engine) == 2
    (flow,) = engine.table.flows.values()
    assert (flow.id, flow.original.packets, flow.opened) == (2, 2, START)
    engine.check()


def test_a_packet_from_outside_restores_the_flow_of_its_public_port() -> None:
    before = talked()
    public = next(iter(before.flows())).public
    engine = later(before)
    assert send(engine, packets.udp(SERVER, 53, *public, b"late"), Side.OUTSIDE, START) is (
        Reason.TRANSLATED
    )
    assert waiting(engine) == 2


def test_a_stranger_is_told_from_the_peer_of_a_flow_that_waits() -> None:
    before = talked()
    public = next(iter(before.flows())).public
    engine = later(before)
    stranger = packets.udp(OUTER[2], 53, *public, b"?")
    assert send(engine, stranger, Side.OUTSIDE, START) is send(
        talked(), stranger, Side.OUTSIDE, START
    )
    engine.check()


def test_a_new_flow_of_an_endpoint_gets_the_mapping_that_waits() -> None:
    before = talked()
    public = next(iter(before.flows())).public
    engine = later(before)
    new = packets.udp(CLIENT, 5000, OUTER[1], 53, b"?")
    (sent,) = engine.receive(Packet(bytearray(new)), Side.INSIDE, START).packets
    assert packets.read(bytes(sent.data)).source == public


def test_public_ports_of_flows_that_wait_are_given_to_nobody_else() -> None:
    engine = later(talked(flows=8))
    taken = {each.public.port for each in talked(flows=8).flows()}
    for number in range(4):
        new = packets.udp(INNER[1], 6000 + number, SERVER, 53, b"?")
        (sent,) = engine.receive(Packet(bytearray(new)), Side.INSIDE, START).packets
        assert packets.read(bytes(sent.data)).source.port not in taken
    assert waiting(engine) == 8


def test_flows_that_wait_count_to_the_limits_of_their_host() -> None:
    engine = later(talked(flows=8))  # `POLICY` allows 8 ports
    new = packets.udp(CLIENT, 9000, SERVER, 53, b"?")
    assert send(engine, new, Side.INSIDE, START) is Reason.PORT_LIMIT


@pytest.mark.parametrize(("seconds", "alive"), [(299.0, 3), (301.0, 0)])
def test_flows_that_wait_end_when_their_time_is_over(seconds: float, alive: int) -> None:
    engine = later(talked())
    engine.tick(START + seconds)
    assert engine.table.count == alive
    closed = [each for each in engine.events() if isinstance(each, events.FlowClosed)]
    assert [each.reason for each in closed] == [Reason.IDLE] * (3 - alive)


def test_before_flows_of_one_protocol_can_be_due_those_of_another_go_on_to_wait() -> None:
    before = talked()
    ping = Packet(bytearray(packets.echo(CLIENT, SERVER, 7)))
    (sent,) = before.receive(ping, Side.INSIDE, START).packets
    number = int.from_bytes(sent.data[24:26], "big")
    assert send(
        before, packets.echo(SERVER, PUBLIC[0], number, reply=True), Side.OUTSIDE, START
    ) is (Reason.TRANSLATED)
    engine = later(before)
    engine.tick(START + 61)
    assert (engine.table.count, waiting(engine)) == (3, 3)
    engine.check()


def test_the_rest_is_restored_in_the_background() -> None:
    engine = later(talked())
    fresh = []
    while not engine.is_restored:
        fresh += engine.restore_some(1)
        engine.check()
    assert engine.restore_some(1) == []
    assert fresh == [1, 2, 3]
    assert plain(engine, START) == plain(talked(), START)


def test_a_flow_that_was_asked_for_is_reported_by_the_background_once() -> None:
    engine = later(talked())
    assert engine.flow(2) is not None
    fresh = []
    while not engine.is_restored:
        fresh += engine.restore_some(1)
    assert sorted(fresh) == [1, 2, 3]


def test_under_another_policy_all_flows_are_restored_and_judged() -> None:
    engine = later(talked(), policy=replace(POLICY, public=PUBLIC[1:]))
    assert engine.is_restored, "a store must not go on with what it has"
    assert engine.table.count == 0
    reasons = [each.reason for each in engine.events() if isinstance(each, events.FlowClosed)]
    assert reasons == [Reason.ADDRESS_GONE] * 3


def test_flows_whose_records_lag_have_their_whole_idle_time_again() -> None:
    others, compact = compacted(kept(talked(), START, START))
    made = Engine.from_records(POLICY, Random(2).randrange, others, START + 200, True, compact)
    made.tick(START + 299)
    assert made.table.count == 3
    made.tick(START + 302)
    assert made.table.count == 0


def test_a_mapping_without_a_flow_is_dropped() -> None:
    others, compact = compacted(kept(talked(), START))
    del compact.flows[2], compact.moments[2]
    engine = Engine.from_records(POLICY, Random(2).randrange, others, START, compact=compact)
    assert engine.table.mappings.ports == {(17, CLIENT): 2}
    engine.check()


# -- what cannot be restored


Change = Callable[[list[Kept], Compact], object]


def _twice(others: list[Kept], compact: Compact) -> None:
    compact.flows[9], compact.moments[9] = compact.flows[1], START


def _without_mapping(others: list[Kept], compact: Compact) -> None:
    del compact.mappings[next(iter(compact.mappings))]


def _of_no_pool(others: list[Kept], compact: Compact) -> None:
    compact.mappings[99 << 16] = next(iter(compact.mappings.values()))


def _of_no_protocol(others: list[Kept], compact: Compact) -> None:
    compact.flows[1] = b"\x07" + compact.flows[1][1:]


def _cut_off(others: list[Kept], compact: Compact) -> None:
    compact.flows[1] = compact.flows[1][:-1]


def _same_key(others: list[Kept], compact: Compact) -> None:
    first, second, *_ = compact.mappings
    compact.mappings[second] = compact.mappings[first]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_twice, "two flows have the same addresses and ports"),
        (_without_mapping, "of which there is no record"),
        (_of_no_pool, "is of no pool"),
        (_of_no_protocol, "a value that no flow has"),
        (_cut_off, "has another length"),
        (_same_key, "of the same endpoint are current"),
    ],
)
def test_rows_that_contradict_each_other_are_refused_as_a_whole(change: Change, message: str):
    others, compact = compacted(kept(talked(), START))
    change(others, compact)
    with pytest.raises(StateError, match=message):
        Engine.from_records(POLICY, Random(2).randrange, others, START, compact=compact)


@pytest.mark.parametrize("seed", range(4))
def test_a_row_with_any_other_byte_is_refused_or_consistent(seed: int) -> None:
    chance, refused = Random(seed), 0
    for _ in range(150):
        others, compact = compacted(kept(talked(), START))
        rows: dict[int, Any] = chance.choice((compact.flows, compact.mappings))
        number = chance.choice(list(rows))
        damaged = bytearray(rows[number])
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        rows[number] = bytes(damaged)
        try:
            made = Engine.from_records(POLICY, Random(2).randrange, others, START, compact=compact)
            made.check()
            made.restore_all()
            made.check()
        except StateError:
            refused += 1
    assert refused > 5


@pytest.mark.parametrize(
    "own", [PortRange(61000, 61003), port_set([PortRange(61000, 61001), PortRange(61003, 61003)])]
)
def test_ports_that_are_not_of_a_pool_are_found(own: Ports) -> None:
    some = {0, 1, 60999, 61000, 61001, 61002, 61003, 61004, 65535}
    assert _foreign(own, some) == {port for port in some if port not in own}
    assert _foreign(own, {61000, 61003}) == set()
