"""A helper that is loaded while a connection lives: whatever is under way, is repeated or comes out of order."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets.connection import USE, Crossing, _is_heard
from ipmasq.core.ends import End, Ends
from ipmasq.core.events import HelperBound, HelperFailed, HelperReleased
from ipmasq.core.flow import Flow
from ipmasq.core.helper import Framer, Helper, HelperContext
from ipmasq.core.policy import HelperUse, Limits
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.tcp_inspector import TcpInspector
from ipmasq.core.translate import rebuild, renumber, translate
from ipmasq.wire import ipv4, tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import ACK, FIN, PSH, Segment
from tests.core.conversation import FTP, INSIDE, OUTSIDE, PUBLIC, Conversation, build, policy
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


numbers = st.integers(0, 0xFFFFFFFF)
short = st.integers(0, 0xFFFF)
after = st.tuples(numbers, numbers, st.sampled_from([ACK, ACK | PSH, ACK | FIN]), short, short)


@given(after, after, st.binary(max_size=40), st.sampled_from([-1, 0, 1]))
def test_a_packet_that_is_rewritten_in_place_is_the_one_that_is_composed_anew(
    before: tuple[int, ...], after: tuple[int, ...], payload: bytes, ttl_delta: int
) -> None:
    ends = Ends(End(INSIDE, Endpoint(PUBLIC, 61000)), End(OUTSIDE, OUTSIDE))
    flow = Flow(1, ipv4.TCP, ends, (Side.INSIDE, Side.OUTSIDE), 0.0)
    one, other = (
        Segment(INSIDE.port, OUTSIDE.port, n[0], n[1], n[2], n[3], 0, n[4], b"\x01\x01\x01\x00")
        for n in (before, after)
    )
    packet = build(INSIDE, OUTSIDE, one, payload)
    header = ipv4.read(packet.data)
    assert header is not None
    segment = tcp.write(other, payload)
    anew = rebuild(packet, header, flow.original, ttl_delta, segment, 0)
    in_place = Packet(bytearray(packet.data))
    translate(in_place.data, header.family, header.length, ipv4.TCP, flow.original, ttl_delta)
    renumber(in_place.data, header.length, one, other)
    assert bytes(in_place.data) == bytes(anew.data)


def test_a_segment_of_which_only_numbers_change_leaves_in_its_own_packet() -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10,0,0,2,4,1\r\n")
    segment = Segment(
        0, 0, talk.first[Side.INSIDE] + 19, talk.first[Side.OUTSIDE], ACK, 9, 0, 0, b""
    )
    packet = build(INSIDE, OUTSIDE, segment, b"NOOP\r\n")
    verdict = talk.engine.receive(packet, Side.INSIDE, 0.0)
    assert verdict.packets[0] is packet


class Counted(NamedTuple):
    """Messages that begin with their own length in two bytes, which counts itself."""

    longest: int = 64
    overlap: int | None = None

    def end(self, data: bytes | bytearray, searched: int) -> int:
        if len(data) < 2:
            return 0
        size = data[0] << 8 | data[1]
        if size < 2:
            raise ValueError("shorter than its length")
        if size == 666:
            raise ArithmeticError("as asked")
        return size

    def count(self, data: bytes) -> int:
        return -(-len(data) // 2)

    def end_of(self, data: bytes, count: int) -> int:
        return 2 * count


class Loud(Helper):
    """Makes `hush` louder, in messages of any length."""

    name = "loud"

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def framer(self) -> Framer:
        return Counted()

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        return len(partial) < 3 or partial[2:3] == b"h"

    def on_line(self, line: bytes, context: HelperContext) -> None:
        self.heard.append(line)
        if line[2:] == b"hush":
            context.replace(0, len(line), message(b"SHOUT"))


def message(text: bytes) -> bytes:
    return (2 + len(text)).to_bytes(2, "big") + text


LOUD = HelperUse("loud", Loud, ipv4.TCP, frozenset((21,)), True)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_helper_that_chooses_its_framer_is_shown_its_messages_however_they_arrive(size: int):
    talk = Conversation(policy(helpers=(LOUD,))).open()
    said = message(b"a\r\nb") + message(b"hush") + message(b"") + message(b"x" * 50)
    heard = b""
    for at in range(0, len(said), size):
        heard += talk.client(said[at : at + size]).payload
        talk.heard[Side.OUTSIDE] = talk.said[Side.INSIDE]
    assert heard == said.replace(message(b"hush"), message(b"SHOUT"))
    assert talk.engine.helpers()[0].inspected == 4


def test_a_message_that_is_too_long_passes_and_the_next_one_is_still_found() -> None:
    talk = Conversation(policy(helpers=(LOUD,))).open()
    long = message(b"h" * 500)
    said = long + message(b"hush")
    heard = b"".join(talk.client(said[at : at + 100]).payload for at in range(0, len(said), 100))
    assert heard == long + message(b"SHOUT")
    assert talk.engine.helpers()[0].inspected == 1


def test_where_no_message_can_begin_like_this_the_helper_looks_no_further() -> None:
    talk = Conversation(policy(helpers=(LOUD,))).open()
    assert talk.client(message(b"hush")).payload == message(b"SHOUT")
    said = b"\0\1" + message(b"hush")
    assert talk.client(said).payload == said
    (released,) = [event for event in talk.events if isinstance(event, HelperReleased)]
    assert released.reason is Reason.HELPER_STOPPED
    assert talk.engine.helpers()[0].failed == 0


def test_a_framer_that_fails_is_a_failure_of_its_helper_and_the_bytes_pass() -> None:
    talk = Conversation(policy(helpers=(LOUD,))).open()
    said = (666).to_bytes(2, "big") + b"hush"
    assert talk.client(said).payload == said
    (failed,) = [event for event in talk.events if isinstance(event, HelperFailed)]
    assert failed.error == "ArithmeticError: as asked"
    assert talk.client(message(b"hush")).payload == message(b"hush")


def test_a_helper_that_cannot_find_a_message_in_the_middle_is_not_bound_there() -> None:
    talk = Conversation(policy(helpers=())).open()
    talk.client(b"\0")
    talk.engine.load_helper(LOUD, talk.now)
    assert not [event for event in talk.engine.events() if isinstance(event, HelperBound)]
    (flow,) = talk.engine.table.flows.values()
    assert flow.inspector is None


def test_no_more_messages_are_shown_than_the_work_of_a_host_allows() -> None:
    limits = Limits(lines_per_host=4)
    talk = Conversation(policy(helpers=(LOUD,), limits=limits)).open()
    said = message(b"hush") * 20
    assert len(talk.client(said).payload) < len(said)
    assert talk.engine.helpers()[0].inspected <= 4
