"""What is withheld has a way out, and what was acknowledged early arrives: without the sender's help, and
without more going out than came in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.direction import HOLD, MOST_REPEATS
from ipmasq.core.events import Refused
from ipmasq.core.policy import Limits
from ipmasq.core.reasons import Reason
from ipmasq.core.stream import HISTORY
from ipmasq.core.tcp_inspector import LINES_AT_ONCE
from ipmasq.helpers.ftp import LONGEST_BEGINNING, Ftp
from tests.core.conversation import (
    ACK,
    FIN,
    FTP,
    Conversation,
    Side,
    policy,
)
from tests.core.rewriting import PORT, own, size

CONTROL = b"220 ready\r\n"


@pytest.mark.parametrize("begun", [b"P", b"PORT 10", b"PORT 10,0,0,2,4,1", b"EPRT |1|"])
@pytest.mark.row("A-16", "SEQ-8")
def test_a_line_that_its_speaker_never_ends_leaves_with_the_fin(begun: bytes) -> None:
    talk = Conversation().open()
    held = talk.client(begun)
    assert held.reason is Reason.HELD
    assert talk.acked(held.answers[0], Side.INSIDE) == len(begun)
    finished = talk.send(Side.INSIDE, b"", flags=ACK | FIN)
    assert finished.spans == [(0, begun)]
    assert finished.one.segment.flags & FIN


def test_a_line_that_comes_slowly_is_still_rewritten() -> None:
    talk = Conversation().open()
    heard = b""
    for byte in PORT:
        talk.later(HOLD - 0.5)
        heard += talk.client(bytes((byte,))).payload
    assert heard.startswith(b"PORT 203,0,113,1,")


def test_the_rest_of_a_line_whose_beginning_has_left_passes_as_it_is() -> None:
    talk = Conversation().open()
    talk.client(PORT[:9])
    talk.later(HOLD + 1)
    assert own(talk) == [(0, PORT[:9])]
    assert talk.client(PORT[9:]).payload == PORT[9:]
    (refused,) = [each for each in talk.events if isinstance(each, Refused)]
    assert "forwarded" in refused.reason
    assert not list(talk.engine.expectations())


@pytest.mark.parametrize("how", ["unload", "reload"])
def test_what_is_withheld_leaves_when_its_helper_goes(how: str) -> None:
    talk = Conversation().open()
    talk.client(b"PORT 10")
    if how == "unload":
        talk.engine.unload_helper("ftp", talk.now)
    else:
        talk.engine.load_helper(FTP, talk.now)
    talk.later(HOLD + 1)
    assert own(talk) == [(0, b"PORT 10")]
    assert talk.client(b",0,0,2,4,1\r\n").payload == b",0,0,2,4,1\r\n"


@pytest.mark.row("A-23", "A-28")
@given(
    seq=st.integers(1 << 16, 1 << 22) | st.integers(-1 << 22, -1 << 16),
    ack=st.integers(1 << 16, 1 << 22) | st.integers(-1 << 22, -1 << 16),
    which=st.sampled_from(["sequence", "acknowledgment", "both"]),
    side=st.sampled_from(Side),
)
def test_the_gateway_speaks_with_no_number_of_a_segment_that_is_only_within_a_scaled_window(
    seq: int, ack: int, which: str, side: Side
) -> None:
    """A timestamp that was forged would have the speaker throw away what the listener itself says (PAWS)."""
    stamps = b"\1\1\x08\x0a" + (7).to_bytes(4, "big") * 2
    talk = Conversation(permits=b"\1\3\3\7", options=stamps).open()
    talk.client(b"NOOP\r\n")
    talk.hears(Side.OUTSIDE, 6)
    forged = b"\1\1\x08\x0a" + b"\x7f" * 8
    heard, said = talk.heard[side], talk.said[side]
    if which != "sequence":
        talk.heard[side] = heard + ack
    at = said - 1 if which == "acknowledgment" else said + seq
    talk.send(side, b"", at, window=1, options=forged)
    talk.heard[side] = heard
    (answer,) = talk.client(b"PORT 10").answers
    assert answer.segment.options == stamps
    assert answer.segment.window == 60000


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("new"), st.sampled_from([b"P", b"PORT 10", b",0", b"\r\n", PORT, b"x" * 900])),
            st.tuples(st.just("again"), st.integers(1, 2000)),
            st.tuples(st.just("gap"), st.integers(1, 2000)),
            st.tuples(st.just("wait"), st.sampled_from([0.1, 1, 3, 60])),
            st.tuples(st.just("acknowledge"), st.integers(0, 3000)),
        ),
        min_size=5,
        max_size=60,
    )
)  # fmt: skip
@pytest.mark.row("A-16", "A-17")
def test_never_more_goes_out_than_a_small_multiple_of_what_came_in(steps) -> None:  # type: ignore[no-untyped-def]
    """Lines at most eight thousand bytes long are repeated a few times; besides, a packet brings about
    one of its own size and an acknowledgment."""
    talk = Conversation().open()
    came = went = 0
    for kind, what in steps:
        if kind == "wait":
            talk.later(what)
            went += sum(len(packet.data) for packet, _ in talk.engine.outgoing())
            continue
        said = talk.said[Side.INSIDE]
        if kind == "new":
            outcome = talk.client(what)
            came += 40 + len(what)
        elif kind == "again":
            outcome = talk.client(b"x", at=max(0, said - what))
            came += 41
        elif kind == "gap":
            outcome = talk.send(Side.INSIDE, b"x", said + what)
            came += 41
        else:
            outcome = talk.hears(Side.OUTSIDE, min(what, said))
            came += 40
        went += size(outcome)
    assert went <= (MOST_REPEATS + 2) * came + 200


@pytest.mark.row("A-16", "A-21")
def test_a_line_that_has_begun_counts_while_it_is_kept_although_it_has_gone_on() -> None:
    talk = Conversation().open()
    memory = talk.engine.manager.memory
    for at in range(1000, 8000, 1000):
        talk.client(b"x" * 1000)
        talk.hears(Side.OUTSIDE, at)
    assert memory.used >= 7000
    talk.engine.unload_helper("ftp", talk.now)
    assert memory.used < 2 * HISTORY
    talk.engine.close(talk.flow.id, talk.now)
    assert memory.used == 0


@pytest.mark.parametrize("state", ["quiet", "keep-alive", "under way", "lost"])
def test_a_helper_loaded_on_a_live_connection_takes_it_up_where_it_is(state: str) -> None:
    talk = Conversation(policy(helpers=())).open()
    talk.server(CONTROL)
    talk.hears(Side.INSIDE, len(CONTROL))
    talk.client(b"USER a\r\n")
    if state == "quiet":
        talk.hears(Side.OUTSIDE, 8)
    talk.engine.load_helper(FTP, talk.now)
    if state == "keep-alive":
        talk.hears(Side.OUTSIDE, 8)
        talk.send(Side.OUTSIDE, b"", talk.said[Side.OUTSIDE] - 1)
        talk.send(Side.INSIDE, b"\0", talk.said[Side.INSIDE] - 1)
    if state == "lost":
        assert talk.client(b"USER a\r\n", at=0).payload == b"USER a\r\n"
    talk.hears(Side.OUTSIDE, 8)
    assert talk.server(b"331 go on\r\n").payload == b"331 go on\r\n"
    talk.hears(Side.INSIDE, talk.said[Side.OUTSIDE])
    assert talk.client(b"PASS b\r\n").payload == b"PASS b\r\n"
    talk.hears(Side.OUTSIDE, talk.said[Side.INSIDE])
    assert talk.server(b"230 in\r\n").payload == b"230 in\r\n"
    talk.hears(Side.INSIDE, talk.said[Side.OUTSIDE])
    assert talk.client(PORT).payload.startswith(b"PORT 203,0,113,1,")


@pytest.mark.parametrize("twice", [False, True], ids=["exactly", "twice"])
def test_what_its_receiver_has_acknowledged_is_no_gap_to_wait_for(twice: bool) -> None:
    """A capture that lacks a packet: the ends went on."""
    talk = Conversation().open()
    if twice:
        talk.said[Side.OUTSIDE] = 40  # what the server said is missing too
    talk.said[Side.INSIDE] = 20  # 20 bytes are missing
    assert talk.client(b"NOOP\r\n").reason is Reason.HELD
    talk.hears(Side.OUTSIDE, 26)
    if twice:
        talk.hears(Side.OUTSIDE, 26)
    assert talk.client(b"NOOP\r\n").payload == b"NOOP\r\n"
    assert talk.client(PORT).payload.startswith(b"PORT 203,0,113,1,")


def test_a_blind_acknowledgment_of_what_was_never_said_skips_nothing() -> None:
    talk = Conversation(permits=b"\x03\x03\x0e").open()
    talk.client(b"USER a\r\n")
    for distance in range(1 << 20, 1 << 29, 1 << 24):
        for at in (0, 0, 1000, 1000):
            talk.heard[Side.OUTSIDE] = distance
            talk.send(Side.OUTSIDE, b"", talk.said[Side.OUTSIDE] + at + (1 << 17))
    talk.heard[Side.OUTSIDE] = 8
    assert talk.client(b"PASS b\r\n").payload == b"PASS b\r\n"


def test_a_fin_that_is_repeated_on_a_transparent_stream_stays_one() -> None:
    talk = Conversation().open()
    heard = len(talk.client(PORT).payload)
    talk.hears(Side.OUTSIDE, heard)
    talk.engine.unload_helper("ftp", talk.now)
    said = talk.said[Side.INSIDE]
    assert talk.send(Side.INSIDE, b"", flags=ACK | FIN).one.segment.flags & FIN
    talk.send(Side.INSIDE, b"", said + 1, flags=ACK)
    assert talk.send(Side.INSIDE, b"", said, flags=ACK | FIN).one.segment.flags & FIN


def test_lines_beyond_what_a_host_may_have_looked_at_are_left_to_tcp() -> None:
    limits = replace(Limits(), lines_per_host=100)
    talk = Conversation(policy(limits=limits)).open()
    burst = b"NOOP\r\n" * 200
    assert talk.client(burst).payload == b"NOOP\r\n" * 100
    assert talk.client(b"NOOP\r\n", at=600).reason is Reason.WORK_LIMIT
    talk.later(0.5)
    assert len(talk.client(burst[600:], at=600).payload) == 6 * 50
    talk.later(10)
    assert talk.client(burst[900:], at=900).payload == b"NOOP\r\n" * 50


def inspected(talk: Conversation) -> int:
    return sum(helper.inspected for helper in talk.engine.helpers())


@pytest.mark.row("A-16", "A-21")
@pytest.mark.parametrize("size", [1, 40, 128])
def test_however_many_lines_come_too_early_one_segment_has_few_of_them_looked_at(size: int) -> None:
    talk = Conversation(permits=b"\x03\x03\x07\x00").open()
    talk.server(b"220 ready\r\n")
    for number in range(8000 // size):
        talk.client(b"A\n" * size, at=1 + 2 * size * number)
    assert talk.flow.inspector is not None
    assert inspected(talk) == 1
    talk.client(b"A", at=0)
    assert 10 < inspected(talk) <= LINES_AT_ONCE


@pytest.mark.parametrize("most", [1, 2, 20, 1000])
def test_a_gap_is_filled_in_the_end_however_few_lines_a_host_may_have_looked_at(most: int) -> None:
    text = b"NOOP\r\n" * 400
    limits = replace(Limits(), lines_per_host=most)
    talk = Conversation(policy(limits=limits), permits=b"\x03\x03\x07\x00").open()
    said, heard = 0, b""
    for _ in range(2000):
        for at in (said + 300, said):
            heard += talk.client(text[at : at + 300], at=at).payload
        said = len(heard)
        talk.hears(Side.OUTSIDE, said)
        talk.later(1)
        if heard == text:
            break
    assert heard == text


def test_a_refused_line_costs_the_same_however_many_commands_are_pending() -> None:
    """Counted in steps of the interpreter, not in time."""
    import sys

    from ipmasq.core.speaker import Speaker
    from ipmasq.testing import Talk

    def steps(pending: int) -> int:
        talk = Talk(Ftp(), Speaker.CLIENT)
        for _ in range(pending):
            talk.client("NOOP")
        count = 0

        def trace(frame, event, arg):  # type: ignore[no-untyped-def]
            nonlocal count
            count += 1
            return trace

        sys.settrace(trace)
        try:
            talk.client("RETR x")
            talk.client("PORT 10,0,0,2,4,1")
        finally:
            sys.settrace(None)
        return count

    assert steps(4000) <= steps(10) + 50


@pytest.mark.row("A-16")
@pytest.mark.parametrize("begin", [b"PORT ", b"\xff\xfa"])
def test_a_beginning_too_long_for_an_announcement_goes_on_at_once(begin: bytes) -> None:
    talk = Conversation().open()
    talk.server(CONTROL)
    text = begin + b"1" * LONGEST_BEGINNING
    assert talk.client(text[: -len(begin)]).payload == b""
    passed = talk.client(text[-len(begin) :] + b"1")
    assert passed.payload == text + b"1"
    assert talk.client(b"2").payload == b"2"
