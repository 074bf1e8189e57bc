"""A helper that is loaded while a connection lives: whatever is under way, is repeated or comes out of order."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets.connection import USE, Crossing, _is_heard
from ipmasq.core.helper import Speaker
from ipmasq.core.side import Side
from ipmasq.core.tcp_inspector import TcpInspector
from ipmasq.wire import tcp
from tests.core.conversation import FTP, Conversation, policy
from tests.core.peers import Peer

words = st.sampled_from([b"E 10,0,0,2,4,1", b"Exyz", b"E", b"", b"NOOP", b"E" * 60, b"y" * 80])
texts = st.lists(words, max_size=8).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
MOST = 6_000
"""Steps; the second half without faults."""


def run(crossing: Crossing) -> None:
    """Until nothing is left to do."""
    for step in range(MOST):
        if step == MOST // 2:
            crossing.loss = crossing.reorder = 0.0
        if not crossing.step():
            return
    raise AssertionError("it never ends")


@pytest.mark.row("SEQ-1")
@settings(max_examples=300)
@given(
    seed=st.integers(0, 1 << 32),
    client=texts,
    server=texts,
    first=st.sampled_from([0, 1000, (1 << 32) - 20]),
    nagle=st.booleans(),
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    reorder=st.sampled_from([0.0, 0.5]),
    steps=st.lists(st.integers(0, 40), min_size=1, max_size=4),
)
def test_a_helper_can_be_loaded_at_any_moment(
    seed: int,
    client: bytes,
    server: bytes,
    first: int,
    nagle: bool,
    loss: float,
    reorder: float,
    steps: list[int],
) -> None:
    """Both ends hear each line as it was or as it was rewritten, and learn that it is over."""
    chance = Random(seed)
    one = Peer(chance, first, client, 536, nagle)
    other = Peer(chance, (first + (1 << 31)) % (1 << 32), server, 536, nagle)
    crossing = Crossing(chance, (one, other), loss, reorder)
    for number, count in enumerate(steps):
        if number % 2:
            crossing.engine.load_helper(USE, crossing.now)
        else:
            crossing.engine.unload_helper(USE.name, crossing.now)
        for _ in range(count):
            crossing.step()
    if len(steps) % 2:
        crossing.engine.load_helper(USE, crossing.now)
    run(crossing)
    one.closes = other.closes = True
    run(crossing)
    for said, listener in ((client, other), (server, one)):
        _is_heard(said, bytes(listener.heard))
        assert listener.other_end == len(listener.heard)


@pytest.mark.parametrize("again", [b"USER a\r\n", b"USER"])
def test_a_line_that_arrived_before_its_helper_is_repeated_as_it_was(again: bytes) -> None:
    """What comes before it is repeated first, so the latest segment does not say how far the connection is."""
    talk = Conversation(policy(helpers=())).open()
    line = b"PORT 10,0,0,2,4,1\r\n"
    talk.client(b"USER a\r\n")
    talk.client(line)
    talk.client(again, at=0)
    talk.engine.load_helper(FTP, talk.now)
    assert talk.client(line, at=8).spans == [(8, line)]
    talk.hears(Side.OUTSIDE, 8 + len(line))
    (inspector,) = (flow.inspector for flow in talk.engine.table.flows.values())
    assert inspector is not None
    assert inspector.shift(Speaker.CLIENT).delta == 0


def test_an_acknowledgment_that_comes_late_does_not_move_the_beginning_back() -> None:
    talk = Conversation(policy(helpers=())).open()
    talk.client(b"USER a\r\n")
    talk.hears(Side.OUTSIDE, 8)
    talk.hears(Side.OUTSIDE, 4)
    talk.engine.load_helper(FTP, talk.now)
    (flow,) = talk.engine.table.flows.values()
    assert isinstance(flow.inspector, TcpInspector)
    stream, _ = flow.inspector.rewriter.streams
    assert stream is not None
    assert tcp.distance(talk.first[Side.INSIDE], stream.first) == 8


@pytest.mark.parametrize("at", [0, 18])
def test_what_arrived_is_still_answered_when_a_helper_has_come_again_and_gone(at: int) -> None:
    """Its listener's acknowledgment was lost. An empty segment where it awaits the next byte would go unanswered."""
    talk = Conversation().open()
    line = b"PORT 10,0,0,2,4,1\r\n"
    heard = len(talk.client(line).payload)
    talk.hears(Side.OUTSIDE, heard)
    for _ in range(2):
        talk.engine.unload_helper("ftp", talk.now)
        talk.engine.load_helper(FTP, talk.now)
    talk.engine.unload_helper("ftp", talk.now)
    ((sequence, payload),) = talk.client(line[at:], at=at).spans
    assert sequence < heard
    assert payload in (b"", talk.client(line[at:], at=at).payload)
    assert talk.client(b"NOOP\r\n").spans == [(heard, b"NOOP\r\n")]
