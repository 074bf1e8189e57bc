"""A connection whose positions are not known any more goes on, and nobody who cannot see it can end it."""

from __future__ import annotations

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.flow import Flow
from ipmasq.core.offloading import Traffic
from ipmasq.core.side import Side
from ipmasq.core.tcp_states import State
from ipmasq.core.window import NEAR
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.conformance.conversation import MSS
from tests.conformance.packets import ACK, FIN, RST, SYN
from tests.conformance.world import IN1, OUT1, World
from tests.core.restored import Journal

WIDE = MSS + b"\x03\x03\x0a\x00"
"""A scale of 10."""

MOVED = 3 << 30
"""Bytes that each end has sent since its record was written: more than any window."""


class Talk(World):
    """A connection that goes on in an engine from records that lag."""

    def __init__(self, options: bytes = MSS) -> None:
        """`options`: those of both SYNs."""
        super().__init__()
        journal = Journal(self.engine, self.now)
        self.public = self.tcp(IN1, 4000, OUT1, 80, SYN, seq=99, options=options).one.source
        self.tcp(OUT1, 80, *self.public, SYN | ACK, seq=499, ack=100, options=options)
        journal.follow(self.engine, self.now)
        self.out(100, 500)
        policy, chance = self.engine.policy, lambda n: 0
        self.now += 3600.0
        self.engine = Engine.from_records(
            policy, chance, journal.last.values(), self.now, is_lagging=True
        )

    @property
    def flow(self) -> Flow:
        (flow,) = self.engine.table.flows.values()
        return flow

    def out(self, seq: int, ack: int, flags: int = ACK, payload: bytes = b"") -> None:
        self.tcp(
            IN1, 4000, OUT1, 80, flags, payload=payload, seq=seq % 2**32, ack=ack % 2**32
        ).leaves_from(self.public.address)

    def back(self, seq: int, ack: int, flags: int = ACK, payload: bytes = b"") -> None:
        self.tcp(
            OUT1, 80, *self.public, flags, payload=payload, seq=seq % 2**32, ack=ack % 2**32
        ).reaches(IN1, 4000)

    def go_on(self) -> None:
        self.out(100 + MOVED, 500 + MOVED)
        self.back(500 + MOVED, 100 + MOVED)


def test_segments_that_agree_with_each_other_are_picked_up() -> None:
    talk = Talk()
    assert not talk.flow.offloadable
    talk.go_on()
    assert talk.flow.offloadable
    assert (talk.flow.original.end, talk.flow.reply.end) == (
        (100 + MOVED) % 2**32,
        (500 + MOVED) % 2**32,
    )
    talk.back(500 + MOVED, 100 + MOVED, RST)
    assert talk.flow.state is State.TRANS


@pytest.mark.parametrize("forged", [(7, 7), (500 + MOVED, 7), (7, 100 + MOVED)])
def test_a_segment_that_does_not_agree_is_forwarded_and_changes_nothing(
    forged: tuple[int, int],
) -> None:
    talk = Talk()
    talk.out(100 + MOVED, 500 + MOVED)
    talk.back(*forged)
    assert not talk.flow.offloadable
    talk.go_on()
    assert talk.flow.offloadable
    assert talk.flow.reply.end == (500 + MOVED) % 2**32


@pytest.mark.parametrize("flags", [RST, RST | ACK, FIN | ACK, SYN, SYN | ACK])
def test_a_segment_that_would_end_a_connection_is_not_believed_before(flags: int) -> None:
    talk = Talk()
    talk.back(500, 100, flags)
    assert talk.flow.state is State.ESTABLISHED
    talk.go_on()
    assert talk.flow.offloadable


def test_a_connection_that_was_idle_has_its_whole_idle_time_and_is_open() -> None:
    talk = Talk()
    assert not talk.flow.is_opening
    talk.later(talk.engine.policy.timeouts.tcp_established - 3700)
    assert talk.flow.state is State.ESTABLISHED


def test_what_was_not_picked_up_is_not_believed_after_another_restart_either() -> None:
    talk = Talk()
    for is_lagging in (True, False):
        last = Journal(talk.engine, talk.now).last.values()
        talk.engine = Engine.from_records(
            talk.engine.policy, lambda n: 0, last, talk.now, is_lagging=is_lagging
        )
        assert not talk.flow.offloadable
    talk.go_on()
    assert talk.flow.offloadable


@pytest.mark.parametrize(
    ("out", "back", "is_known"),
    [
        ((100 + MOVED, 500 + MOVED), (500 + MOVED, 100 + MOVED), True),
        ((100 + MOVED, 500 + MOVED), (500 + MOVED, 100 + MOVED + (1 << 25)), False),
        ((100 + MOVED, 500 + MOVED), (5, 6), False),
        ((100 + MOVED, 500 + MOVED), None, False),
        (None, None, False),
    ],
)
def test_positions_that_a_fast_path_did_not_judge_are_believed_if_they_agree(
    out: tuple[int, int] | None, back: tuple[int, int] | None, is_known: bool
) -> None:
    """What it has counted is counted in any case."""
    talk = Talk()
    flow, position = talk.flow, talk.flow.original.position
    before = flow.original.packets + flow.reply.packets
    counters = _traffic(out), _traffic(back)
    talk.engine.report(flow.id, counters, are_judged=False)
    assert flow.offloadable == is_known
    assert talk.engine.lacks_positions(flow.id) != is_known
    assert (flow.original.position == position) != is_known
    assert flow.original.packets + flow.reply.packets == before + 3 * (
        (out is not None) + (back is not None)
    )


def _traffic(position: tuple[int, int] | None) -> Traffic:
    """Of a direction in which nothing was forwarded if there is no position."""
    end, acknowledged = position or (1, 2)
    packets = 3 if position else 0
    return Traffic(0.0, packets, 100 * packets, end % 2**32 << 32 | acknowledged % 2**32)


CLIENT, SERVER = 0, 1
CLOSE = FIN | ACK
ENDINGS = {
    "the client first": [(CLIENT, CLOSE), (SERVER, ACK), (SERVER, CLOSE), (CLIENT, ACK)],
    "the server first": [(SERVER, CLOSE), (CLIENT, ACK), (CLIENT, CLOSE), (SERVER, ACK)],
    "in three segments": [(CLIENT, CLOSE), (SERVER, CLOSE), (CLIENT, ACK)],
    "after words of one end": [(CLIENT, ACK, 50), (SERVER, CLOSE), (CLIENT, CLOSE), (SERVER, ACK)],
    "with words": [(SERVER, CLOSE, 900), (CLIENT, CLOSE, 9), (SERVER, ACK)],
    "with a FIN that comes twice": [
        (CLIENT, CLOSE), (CLIENT, CLOSE, 0, 1), (SERVER, CLOSE), (CLIENT, ACK)
    ],
    "with words that come after the FIN": [
        (CLIENT, CLOSE, 99), (CLIENT, ACK, 50, 100), (SERVER, CLOSE), (CLIENT, ACK)
    ],
    "after a keep-alive": [
        (CLIENT, ACK, 0, 1), (SERVER, ACK), (CLIENT, CLOSE), (SERVER, CLOSE), (CLIENT, ACK)
    ],
}  # fmt: skip
"""Each segment: who sends it, its flags, how many bytes, and how far behind its sender's position."""


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_connection_that_ends_with_its_first_segments_after_a_restart_is_over(
    ending: list[tuple[int, ...]],
) -> None:
    """Its port is free then, and not after its whole idle time."""
    talk, at = Talk(), [100 + MOVED, 500 + MOVED]
    for who, flags, *more in ending:
        payload, behind = (*more, 0, 0)[:2]
        send = talk.back if who else talk.out
        send(at[who] - behind, at[1 - who], flags, b"x" * payload)
        if not behind:
            at[who] += payload + bool(flags & FIN)
    assert talk.flow.is_over
    talk.later(talk.engine.policy.timeouts.tcp_closing + 1)
    assert not talk.engine.table.flows


def test_a_reset_after_a_restart_is_believed_where_the_other_end_has_acknowledged() -> None:
    talk = Talk()
    talk.out(100 + MOVED, 500 + MOVED)
    talk.back(501 + MOVED, 0, RST)
    assert talk.flow.state is State.ESTABLISHED
    talk.back(500 + MOVED, 0, RST)
    assert talk.flow.state is State.TRANS


FAR = 500 + MOVED + NEAR + 2


@pytest.mark.parametrize("forged", [(7, 7), (500 + MOVED, 7), (7, 100 + MOVED), (FAR, 100 + MOVED)])
def test_a_forged_fin_is_not_believed_after_a_restart(forged: tuple[int, int]) -> None:
    talk = Talk(WIDE)
    for _ in range(2):
        talk.back(*forged, CLOSE)
        talk.out(100 + MOVED, 500 + MOVED)
        talk.back(*forged, CLOSE)
    assert talk.flow.state is State.ESTABLISHED
    talk.go_on()
    assert talk.flow.offloadable


def test_a_damaged_fin_is_not_believed_after_a_restart() -> None:
    talk = Talk()
    fin = packets.tcp(IN1, 4000, OUT1, 80, CLOSE, (100 + MOVED) % 2**32, (500 + MOVED) % 2**32)
    damaged = Packet(bytearray(fin[:-1] + bytes((fin[-1] ^ 1,))))
    assert talk.engine.receive(damaged, Side.INSIDE, talk.now).packets
    talk.back(500 + MOVED, 101 + MOVED)
    assert talk.flow.state is State.ESTABLISHED
