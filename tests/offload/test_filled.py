"""What another gateway has served is forwarded from its rows, and afterwards the engine knows all that was forwarded."""

from __future__ import annotations

from random import Random

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.flow import Flow
from ipmasq.core.restoring import compacted
from ipmasq.core.side import Side
from ipmasq.core.tcp_states import State
from ipmasq.offload.offload import Offloader
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.packets import ACK, FIN, RST, SYN
from tests.core.restored import kept
from tests.core.stress import INNER, OUTER, POLICY
from tests.planes.ebpf.model import Model

PUBLIC_BYTES = 40
MOVED = 3 << 30
"""Bytes that each end of a connection has sent since its row was written: more than any window."""


class Member:
    """A gateway, and the fast path before it."""

    def __init__(self, engine: Engine, now: float, fast: Model | None = None) -> None:
        self.engine, self.now, self.fast = engine, now, fast or Model()
        self.offload = Offloader(engine, self.fast, lambda: self.now)
        self.offload.tick()

    def carry_out(self) -> None:
        self.offload.carry_out(self.engine.commands())

    def send(self, data: bytes, side: Side = Side.INSIDE) -> tuple[bytes, bool]:
        """Return what leaves, and whether the fast path has sent it."""
        self.now += 0.001
        self.carry_out()
        if (out := self.fast.forward(data, side, self.now)) is not None:
            return out, True
        verdict = self.engine.receive(Packet(bytearray(data)), side, self.now)
        self.offload.carry_out(verdict.commands)
        (packet,) = verdict.packets
        return bytes(packet.data), False

    def restore(self) -> None:
        """Restore everything as the gateway does in the background."""
        while fresh := self.engine.restore_some(2):
            for flow in fresh:
                self.engine.restate(flow)
            self.carry_out()
        assert self.engine.is_restored
        while self.offload.discard():
            pass

    def flow(self, number: int = 1) -> Flow:
        return self.engine.table.flows[number]

    def counts(self, number: int = 1) -> tuple[int, ...]:
        self.offload.refresh()
        return counts(self.flow(number))


def counts(flow: Flow) -> tuple[int, ...]:
    """Return packets and bytes of both directions."""
    halves = flow.original, flow.reply
    return tuple(value for half in halves for value in (half.packets, half.bytes))


class Talk:
    """Datagrams or segments of one flow."""

    def __init__(self, port: int = 4000, is_tcp: bool = True) -> None:
        self.port, self.is_tcp = port, is_tcp
        self.public = b"", 0

    def out(self, member: Member, at: tuple[int, int] = (100, 500), flags: int = ACK) -> bool:
        sent, is_fast = member.send(self.data(at, flags))
        self.public = sent[12:16], int.from_bytes(sent[20:22], "big")
        return is_fast

    def data(self, at: tuple[int, int] = (100, 500), flags: int = ACK) -> bytes:
        """Return what the client sends."""
        ends = INNER[0], self.port, OUTER[0], 80
        return packets.tcp(*ends, flags, *at) if self.is_tcp else packets.udp(*ends, b"12345678")

    def back(self, member: Member, at: tuple[int, int] = (500, 100), flags: int = ACK) -> bool:
        ends = OUTER[0], 80, *self.public
        data = packets.tcp(*ends, flags, *at) if self.is_tcp else packets.udp(*ends, b"12345678")
        sent, is_fast = member.send(data, Side.OUTSIDE)
        assert (sent[16:20], int.from_bytes(sent[22:24], "big")) == (INNER[0], self.port)
        return is_fast

    def open(self, member: Member) -> None:
        if self.is_tcp:
            self.out(member, (99, 0), SYN)
            self.back(member, (499, 100), SYN | ACK)
        for _ in range(3):
            self.out(member)
            self.back(member)


def active(*talks: Talk, fast: Model | None = None) -> Member:
    member = Member(Engine(POLICY, Random(1).randrange, 0.0), 1.0, fast)
    for talk in talks:
        talk.open(member)
    return member


def successor(before: Member, fast: Model | None = None, fills: bool = True) -> Member:
    """A member that has followed, at the moment after the lease."""
    now = before.now + 1
    before.carry_out()
    before.offload.refresh()
    others, compact = compacted(kept(before.engine, before.now, now))
    made = Engine.from_records(POLICY, Random(1).randrange, others, now, True, compact)
    assert made.table.unrestored is not None
    member = Member(made, now, fast)
    if fills:
        for rows in made.table.unrestored.rows(2):
            member.offload.fill(rows)
    return member


def test_both_directions_are_forwarded_before_anything_is_restored() -> None:
    for is_tcp in (True, False):
        talk = Talk(is_tcp=is_tcp)
        member = successor(active(talk))
        assert talk.out(member)
        assert talk.back(member)
        assert not member.engine.table.flows


@pytest.mark.parametrize("is_tcp", [True, False])
@pytest.mark.parametrize("without_marks", [True, False])
def test_nothing_is_counted_twice_or_missed(is_tcp: bool, without_marks: bool) -> None:
    """Whether the former member had a fast path, with counters of its own, or none."""
    talk = Talk(is_tcp=is_tcp)
    before = active(talk, fast=Model(capacity=0) if without_marks else None)
    member = successor(before)
    counted = before.counts()
    size = 40 if is_tcp else 36
    for _ in range(5):
        assert talk.out(member)
    for _ in range(3):
        assert talk.back(member)
    member.restore()
    grown = [now - then for now, then in zip(member.counts(), counted, strict=True)]
    assert grown == [5, 5 * size, 3, 3 * size]
    assert talk.out(member)
    assert member.counts()[0] - counted[0] == 6
    tallies = member.offload.tally, before.offload.tally
    assert tallies[0].packets - tallies[1].packets == 9


def test_positions_are_picked_up_from_what_was_forwarded() -> None:
    """The row is much older. The connection goes on in the fast path, and can be closed."""
    talk = Talk()
    member = successor(active(talk))
    assert talk.out(member, (100 + MOVED, 500 + MOVED))
    assert talk.back(member, (500 + MOVED, 100 + MOVED))
    member.restore()
    flow = member.flow()
    assert flow.offloadable
    assert flow.original.position == (100 + MOVED) % 2**32 << 32 | (500 + MOVED) % 2**32
    assert talk.out(member, (101 + MOVED, 500 + MOVED))
    assert not talk.back(member, (500 + MOVED, 101 + MOVED), RST)
    assert flow.state is State.TRANS


def test_a_connection_that_is_closed_before_it_is_restored_is_closed() -> None:
    talk = Talk()
    member = successor(active(talk))
    assert talk.out(member, (100 + MOVED, 500 + MOVED))
    assert talk.back(member, (500 + MOVED, 100 + MOVED))
    assert not talk.back(member, (500 + MOVED, 100 + MOVED), RST | ACK)
    assert member.flow().state is State.TRANS


@pytest.mark.parametrize("forged", [(12345, 999), (100 + MOVED, 1), (5, 500 + MOVED)])
def test_who_cannot_see_a_connection_cannot_say_where_it_is(forged: tuple[int, int]) -> None:
    talk = Talk()
    member = successor(active(talk))
    assert talk.out(member, (100 + MOVED, 500 + MOVED))
    assert talk.back(member, forged)
    before = member.engine.table.unrestored
    assert before is not None
    member.restore()
    flow = member.flow()
    assert not flow.offloadable
    assert member.counts()[0::2] == (5, 5)
    talk.back(member, (forged[0], forged[1]), RST)
    assert flow.state is State.ESTABLISHED
    assert talk.out(member, (100 + MOVED, 500 + MOVED))
    assert talk.back(member, (500 + MOVED, 100 + MOVED))
    member.offload.refresh()
    assert flow.offloadable
    assert talk.out(member, (101 + MOVED, 500 + MOVED))
    assert member.counts()[0::2] == (7, 7)
    assert flow.original.end == (101 + MOVED) % 2**32
    assert not talk.back(member, (500 + MOVED, 101 + MOVED), RST)
    assert flow.state is State.TRANS


def test_a_connection_of_which_one_end_was_silent_is_forwarded_until_its_positions_are_known() -> (
    None
):
    talk = Talk()
    member = successor(active(talk))
    assert talk.out(member, (100 + MOVED, 500 + MOVED))
    member.restore()
    for _ in range(3):
        assert not member.flow().offloadable
        assert talk.out(member, (100 + MOVED, 500 + MOVED))
        member.offload.refresh()
    assert talk.back(member, (500 + MOVED, 100 + MOVED))
    assert not member.flow().offloadable
    member.offload.refresh()
    assert member.flow().offloadable
    assert talk.out(member, (100 + MOVED, 500 + MOVED))
    out_of_window = 100 + MOVED - (1 << 30), 500 + MOVED
    talk.out(member, out_of_window)
    member.offload.refresh()
    assert member.flow().original.end == (100 + MOVED) % 2**32


@pytest.mark.row("A-28")
@pytest.mark.parametrize("flags", [FIN | ACK, RST, RST | ACK, SYN, SYN | ACK, FIN])
@pytest.mark.parametrize("end", [0, 1])
def test_forged_segments_do_not_leave_a_connection_to_the_engine(end: int, flags: int) -> None:
    """The engine has one queue, which an attacker can fill."""
    talk = Talk()
    member = successor(active(talk))
    say = (talk.out, talk.back)[end]
    for forged in range(5):
        say(member, (7 << forged, 9 << forged), flags)
        assert member.flow().state is State.ESTABLISHED
        assert talk.out(member, (100 + MOVED + forged, 500 + MOVED))
        say(member, (8 << forged, 3 << forged), flags)
        assert talk.back(member, (500 + MOVED, 100 + MOVED + forged))
    say(member, (1 << 30, 1 << 30), flags)
    member.carry_out()
    assert member.flow().offloadable
    assert talk.out(member, (105 + MOVED, 500 + MOVED))
    assert not talk.back(member, (500 + MOVED, 105 + MOVED), FIN | ACK)
    assert member.flow().state is State.S_FIN


@pytest.mark.parametrize("is_read", [True, False])
def test_a_connection_ends_though_the_fast_path_forwards_the_answer_to_its_first_fin(
    is_read: bool,
) -> None:
    """The FIN comes before the positions are known, and its acknowledgment is what makes them known."""
    talk = Talk()
    member = successor(active(talk))
    member.restore()
    assert not talk.out(member, (100 + MOVED, 500 + MOVED), FIN | ACK)
    assert talk.back(member, (500 + MOVED, 101 + MOVED))
    if is_read:
        member.offload.refresh()
        assert member.flow().state is State.C_FIN
    assert not talk.back(member, (500 + MOVED, 101 + MOVED), FIN | ACK)
    assert member.flow().state is State.C_S_FIN
    assert not talk.out(member, (101 + MOVED, 501 + MOVED))
    assert member.flow().is_over


def test_the_last_acknowledgment_comes_to_the_engine_when_both_fins_are_believed() -> None:
    talk = Talk()
    member = successor(active(talk))
    member.restore()
    assert not talk.out(member, (100 + MOVED, 500 + MOVED), FIN | ACK)
    assert not talk.back(member, (500 + MOVED, 101 + MOVED), FIN | ACK)
    assert member.flow().state is State.C_S_FIN
    assert not talk.out(member, (101 + MOVED, 501 + MOVED))
    assert member.flow().is_over


def test_a_connection_that_was_reset_before_its_positions_are_known_is_left_to_the_engine() -> None:
    """Data revives it, so the fast path must not forward them by itself."""
    talk = Talk()
    member = successor(active(talk))
    member.restore()
    assert talk.out(member, (100 + MOVED, 500 + MOVED))
    assert not talk.back(member, (500 + MOVED, 100 + MOVED), RST)
    assert member.flow().state is State.TRANS
    assert not talk.back(member, (500 + MOVED, 100 + MOVED))
    assert not talk.out(member, (100 + MOVED, 500 + MOVED))


def test_a_connection_that_is_opened_again_before_its_positions_are_known_is_established() -> None:
    """Both ends have lost the earlier one."""
    talk, begin, answer = Talk(), 7 + (1 << 29), 1 << 28
    member = successor(active(talk))
    member.restore()
    assert not talk.out(member, (begin - 1, 0), SYN)
    assert not talk.back(member, (answer - 1, begin), SYN | ACK)
    flow = member.flow()
    assert (flow.state, flow.offloadable) == (State.ESTABLISHED, True)
    assert talk.out(member, (begin, answer))
    assert talk.back(member, (answer, begin))
    member.offload.refresh()
    assert not flow.is_opening
    assert flow.original.position == begin << 32 | answer
    assert not talk.back(member, (answer, begin), RST)
    assert flow.state is State.TRANS


def test_what_was_filled_and_taken_over_is_known_to_a_successor_as_filled() -> None:
    talk = Talk()
    member = successor(active(talk))
    member.restore()
    assert talk.out(member, (100 + MOVED, 500 + MOVED))
    member.fast.inherit()
    others, compact = compacted(kept(member.engine, member.now))
    made = Engine.from_records(POLICY, Random(1).randrange, others, member.now, True, compact)
    again = Member(made, member.now, member.fast)
    again.restore()
    assert talk.out(again, (100 + MOVED, 500 + MOVED))
    assert talk.back(again, (500 + MOVED, 100 + MOVED))
    again.offload.refresh()
    assert again.flow().offloadable
    assert again.flow().original.end == (100 + MOVED) % 2**32


def test_the_slots_of_a_flow_that_has_ended_are_discarded() -> None:
    talks = [Talk(port) for port in (4000, 4001, 4002)]
    member = successor(active(*talks))
    (ended,) = [view.id for view in member.engine.flows() if view.inside.port == talks[1].port]
    assert member.engine.close(ended, member.now)
    member.restore()
    assert len(member.fast.slots) == 4
    assert not member.fast.inherits


def test_a_row_whose_flow_was_restored_is_not_filled() -> None:
    talks = [Talk(port) for port in (4000, 4001)]
    member = successor(active(*talks), fills=False)
    unrestored = member.engine.table.unrestored
    assert unrestored is not None
    rows = unrestored.rows(1)
    member.engine.close(1, member.now)
    for each in rows:
        member.offload.fill(each)
    assert len(member.fast.slots) == 2
    assert talks[1].out(member)
    assert not talks[0].out(member)


def test_a_later_flow_with_the_same_key_inherits_nothing() -> None:
    talk = Talk(is_tcp=False)
    member = successor(active(talk))
    assert talk.out(member)
    before = member.fast.slots.copy()
    member.engine.close(1, member.now)
    member.fast.beaten = -1e9  # so that its packets come to the engine, which does not know them
    talk.out(member)
    assert member.flow(2).original.packets == 1
    assert not set(before.values()) & set(member.fast.slots.values()) & member.fast.inherited
    member.offload.tick()
    talk.back(member)
    assert talk.out(member)
    member.restore()
    assert member.counts(2)[0::2] == (2, 1)


def test_one_who_begins_anew_inherits_nothing_of_what_is_left() -> None:
    """A member that was active before, has lost its role, and has it again."""
    talk = Talk(is_tcp=False)
    before = active(talk)
    first = successor(before)
    assert talk.out(first)
    second = successor(before, fast=first.fast, fills=False)
    second.offload = Offloader(second.engine, first.fast, lambda: second.now, is_heir=False)
    second.offload.tick()
    for each in second.engine.restore_some(1):
        second.engine.restate(each)
    second.carry_out()
    assert second.counts() == before.counts()


def test_counters_are_exact_after_a_second_crash_before_anything_was_written() -> None:
    """The fast path of the first process was new, so its counters had begun elsewhere than those that the record knows."""
    talk = Talk(is_tcp=False)
    before = active(talk)
    before.carry_out()
    before.offload.refresh()
    counted, records = before.counts(), kept(before.engine, before.now)
    fast, member = Model(), before
    for _ in range(3):
        others, compact = compacted(records)
        made = Engine.from_records(POLICY, Random(1).randrange, others, before.now, True, compact)
        member = Member(made, before.now, fast)
        member.restore()
        assert talk.out(member)
        fast.inherit()
    grown = [now - then for now, then in zip(member.counts(), counted, strict=True)]
    assert grown == [3, 3 * 36, 0, 0]
