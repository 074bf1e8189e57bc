"""Both ends have lost a connection, and its client opens another one from the same port."""

from __future__ import annotations

import pytest

from ipmasq.core.policy import HelperUse
from ipmasq.core.reopening import MOST, Reopenings
from ipmasq.core.side import Side
from ipmasq.core.tcp_states import State
from ipmasq.wire import tcp
from ipmasq.wire.tcp import ACK, FIN, RST, SYN, Segment
from tests.core.conversation import FTP, Conversation, policy

PORT = b"PORT 10,0,0,2,4,1\r\n"
FAR = (5_000, 700_000, 900_000_000, 0x9000_0000)
"""How far the new sequence numbers are from the old ones: near, and beyond all windows."""


def crashed() -> Conversation:
    """A conversation whose client's stream is shifted, and which both ends have lost."""
    talk = Conversation().open()
    talk.server(b"220 ready\r\n")
    talk.client(PORT)
    talk.server(b"200 ok\r\n")
    return talk


def begin_again(talk: Conversation, distance: int) -> None:
    for side in Side:
        talk.first[side] = tcp.advance(talk.first[side], distance)
        talk.said[side] = talk.heard[side] = 0


@pytest.mark.row("5382-2", "A-28")
@pytest.mark.parametrize("distance", FAR)
def test_a_connection_from_the_same_port_begins_anew_if_the_server_takes_it(distance: int) -> None:
    talk = crashed()
    public, flow = talk.public, talk.flow
    begin_again(talk, distance)
    syn = talk.send(Side.INSIDE, b"", -1, flags=SYN).one
    assert (syn.source, syn.segment.sequence) == (public, tcp.advance(talk.first[Side.INSIDE], -1))
    assert flow.state is State.ESTABLISHED
    answer = talk.send(Side.OUTSIDE, b"", -1, flags=SYN | ACK).one
    assert answer.segment.acknowledgment == talk.first[Side.INSIDE]
    talk.send(Side.INSIDE, b"")
    assert talk.server(b"220 ready\r\n").payload == b"220 ready\r\n"
    assert talk.client(PORT).payload.startswith(b"PORT 203,0,113,1,")
    assert talk.flow is flow


@pytest.mark.row("A-28")
@pytest.mark.parametrize("wrong", [1, -1, 77_777, 0x8000_0000])
def test_an_answer_that_does_not_acknowledge_the_syn_changes_nothing(wrong: int) -> None:
    talk = crashed()
    state, position = talk.flow.state, talk.flow.original.position
    begin_again(talk, 900_000_000)
    talk.send(Side.INSIDE, b"", -1, flags=SYN)
    talk.heard[Side.OUTSIDE] = wrong
    talk.send(Side.OUTSIDE, b"", -1, flags=SYN | ACK)
    assert (talk.flow.state, talk.flow.original.position) == (state, position)


@pytest.mark.row("A-28", "A-21")
@pytest.mark.parametrize("more", [FIN, RST])
@pytest.mark.parametrize("helpers", [(FTP,), ()], ids=["inspected", "plain"])
def test_what_is_over_is_not_opened_by_a_syn_that_opens_nothing(
    more: int, helpers: tuple[HelperUse, ...]
) -> None:
    """It would live on uncounted, by a port that others may have by now."""
    talk = Conversation(policy(helpers=helpers)).open()
    (flow,) = talk.engine.table.flows.values()
    talk.send(Side.INSIDE, b"", flags=RST)
    assert flow.is_over
    begin_again(talk, 900_000_000)
    talk.send(Side.INSIDE, b"", -1, flags=SYN | more)
    talk.send(Side.OUTSIDE, b"", -1, flags=SYN | ACK)
    assert flow.is_over
    assert flow.mapping is None


@pytest.mark.row("A-28")
def test_a_syn_of_the_server_alone_changes_nothing() -> None:
    talk = crashed()
    state, position = talk.flow.state, talk.flow.original.position
    talk.heard[Side.OUTSIDE] = 700_000
    talk.send(Side.OUTSIDE, b"", -1, flags=SYN | ACK)
    assert (talk.flow.state, talk.flow.original.position) == (state, position)


def test_the_handshake_that_comes_once_more_opens_nothing_anew() -> None:
    talk = crashed()
    inspector = talk.flow.inspector
    talk.send(Side.INSIDE, b"", -1, flags=SYN)
    talk.heard[Side.OUTSIDE] = 0
    talk.send(Side.OUTSIDE, b"", -1, flags=SYN | ACK)
    assert talk.flow.inspector is inspector
    assert talk.flow.state is State.ESTABLISHED


def test_what_the_old_connection_had_announced_is_not_expected_of_the_new_one() -> None:
    talk = crashed()
    assert len(list(talk.engine.expectations())) == 1
    begin_again(talk, 900_000_000)
    talk.send(Side.INSIDE, b"", -1, flags=SYN)
    talk.send(Side.OUTSIDE, b"", -1, flags=SYN | ACK)
    assert list(talk.engine.expectations()) == []


def test_the_syns_that_are_remembered_are_bounded() -> None:
    reopenings = Reopenings()
    for flow in range(MOST + 1):
        reopenings.note(flow, Segment(0, 0, 7, 0, SYN, 0, 0, 0, b""))
    assert reopenings.take(0, 8) is None
    assert reopenings.take(1, 8) is not None
    assert reopenings.take(1, 8) is None
    assert reopenings.take(2, 9) is None
