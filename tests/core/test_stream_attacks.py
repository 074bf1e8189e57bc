"""Attacks on helpers that work through the stream: forged line starts, hidden lines, ciphertext, crashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core import events
from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.policy import HelperUse, OnFailure
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.wire import ipv4
from tests.core.conversation import Conversation, policy

PORT = b"PORT 10,0,0,2,4,1\r\n"
OWN_227 = b"227 Entering Passive Mode (198,51,100,1,200,10).\r\n"


def opened(talk: Conversation) -> int:
    return sum(isinstance(event, events.Expected) for event in talk.events)


@pytest.mark.row("A-07")
def test_an_echoed_227_at_the_start_of_a_segment_opens_nothing() -> None:
    talk = Conversation().open()
    talk.client(b"PASV\r\nSTAT x\r\n")
    error = b"500 '" + OWN_227.strip() + b"' not understood\r\n"
    talk.server(error[:5])
    talk.server(error[5:])
    # Repeated from the middle, as after a partial acknowledgment.
    talk.server(error[5:], at=5)
    assert opened(talk) == 0
    # The same text as a reply of its own, to a PASV, is good.
    talk.client(b"PASV\r\n")
    talk.server(b"500 STAT no\r\n" + OWN_227)
    assert opened(talk) == 1


@pytest.mark.row("A-08", "959-ML")
def test_a_227_inside_a_multi_line_reply_opens_nothing() -> None:
    talk = Conversation().open()
    talk.client(b"PASV\r\n")
    talk.server(b"230-Welcome\r\n" + OWN_227 + b"230 done\r\n")
    assert opened(talk) == 0


@pytest.mark.row("A-20")
def test_telnet_commands_hidden_in_a_verb_open_nothing_and_pass() -> None:
    talk = Conversation().open()
    line = b"PO\xff\xf1RT 10,0,0,2,4,1\r\n"
    assert talk.client(line).payload == line
    assert opened(talk) == 0


@pytest.mark.row("6384-5auth")
@pytest.mark.row("3027-4.1c")
def test_after_auth_tls_ciphertext_passes_untouched_and_positions_stay_shifted() -> None:
    talk = Conversation().open()
    grown = len(talk.client(PORT).payload) - len(PORT)
    talk.client(b"AUTH TLS\r\n")
    talk.heard[Side.OUTSIDE] = talk.said[Side.INSIDE] + grown
    talk.server(b"200 ok\r\n234 go ahead\r\n")
    talk.heard[Side.INSIDE] = talk.said[Side.OUTSIDE]
    start = talk.said[Side.INSIDE]
    ciphertext = b"\x16\x03\x01" + PORT + bytes(range(256)) * 4
    assert talk.client(ciphertext).spans == [(start + grown, ciphertext)]
    assert talk.client(ciphertext[100:], at=start + 100).spans == [
        (start + 100 + grown, ciphertext[100:])
    ]
    assert opened(talk) == 1
    assert any(isinstance(event, events.HelperReleased) for event in talk.events)


@pytest.mark.row("6384-5auth")
def test_after_auth_is_refused_commands_are_rewritten_again() -> None:
    talk = Conversation().open()
    talk.client(b"AUTH TLS\r\n")
    assert talk.client(PORT).payload == PORT  # undecided: nothing is opened
    talk.server(b"534 no\r\n200 ok\r\n")
    assert talk.client(PORT).payload.startswith(b"PORT 203,0,113,1,")


def test_a_connection_that_was_never_shifted_needs_no_watch_once_its_helper_stops() -> None:
    talk = Conversation().open()
    flow = talk.flow
    talk.client(b"AUTH TLS\r\n")
    talk.heard[Side.OUTSIDE] = talk.said[Side.INSIDE]
    talk.server(b"234 go ahead\r\n")
    talk.heard[Side.INSIDE] = talk.said[Side.OUTSIDE]
    talk.client(b"\x16\x03\x01")
    talk.heard[Side.OUTSIDE] = talk.said[Side.INSIDE]
    talk.server(b"\x16\x03\x01")
    assert flow.rewriter is None
    assert flow.offloadable


class Clumsy(Helper):
    """Wishes much, and falls."""

    name = "clumsy"

    def on_line(self, line: bytes, context: HelperContext) -> None:
        if line.startswith(b"FALL"):
            context.expect(context.endpoint(context.speaker)._replace(port=2000))
            context.replace(0, 4, b"RISE")
            raise RuntimeError("oh\nno")
        if line.startswith(b"BAD"):
            context.refuse("bad line")
        if line.startswith(b"GOOD"):
            context.replace(0, 4, b"BETTER")


def clumsy(on_failure: OnFailure) -> Conversation:
    use = HelperUse("clumsy", Clumsy, ipv4.TCP, frozenset((21,)), True, on_failure)
    return Conversation(policy(helpers=(use,))).open()


@pytest.mark.row("A-15")
@pytest.mark.parametrize("line", [b"FALL down\r\n", b"BAD thing\r\n"])
def test_of_a_helper_that_fails_or_refuses_nothing_happens_and_the_flow_goes_on(
    line: bytes,
) -> None:
    talk = clumsy(OnFailure.PASS)
    assert talk.client(line).payload == line
    assert opened(talk) == 0
    assert not list(talk.engine.expectations())
    assert talk.client(b"GOOD day\r\n").payload == b"BETTER day\r\n"
    (view,) = talk.engine.helpers()
    assert view.failed + sum(view.refused.values()) == 1


@pytest.mark.row("A-15")
@pytest.mark.parametrize("line", [b"FALL down\r\n", b"BAD thing\r\n"])
def test_with_the_policy_drop_the_flow_is_cut_off(line: bytes) -> None:
    talk = clumsy(OnFailure.DROP)
    assert talk.client(b"GOOD day\r\n").payload == b"BETTER day\r\n"
    for _ in range(3):
        outcome = talk.client(line)
        assert outcome.reason is Reason.HELPER_DROP
        assert not outcome.through
    assert talk.server(b"200 hello\r\n").reason is Reason.HELPER_DROP


def test_the_event_of_a_failure_says_which_helper_on_what_bytes_and_why_in_one_line() -> None:
    talk = clumsy(OnFailure.PASS)
    talk.client(b"FALL down\r\n")
    (failed,) = [e for e in talk.events if isinstance(e, events.HelperFailed)]
    assert (failed.helper, failed.line, failed.error) == (
        "clumsy",
        b"FALL down\r\n",
        "RuntimeError: oh",
    )


class Careless(Helper):
    """Rewrites what it did not await."""

    name = "careless"

    def may_rewrite(self, speaker: object, partial: bytes) -> bool:
        return False

    def on_line(self, line: bytes, context: HelperContext) -> None:
        context.replace(0, 1, b"long")


def test_what_has_been_forwarded_cannot_be_replaced() -> None:
    use = HelperUse("careless", Careless, ipv4.TCP, frozenset((21,)), True)
    talk = Conversation(policy(helpers=(use,))).open()
    assert talk.client(b"ab").payload == b"ab"
    assert talk.client(b"c\r\n").payload == b"c\r\n"
    (refused,) = [e for e in talk.events if isinstance(e, events.Refused)]
    assert "already been forwarded" in refused.reason
    assert talk.client(b"abc\r\n").payload == b"longbc\r\n"


@pytest.mark.row("A-15", "6384-10", "3027-2.1")
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80)), max_size=12))
def test_any_bytes_on_a_control_connection_pass_whole_unless_rewritten(
    said: list[tuple[bool, bytes]],
) -> None:
    talk = Conversation().open()
    heard = {Side.INSIDE: b"", Side.OUTSIDE: b""}
    whole = {Side.INSIDE: b"", Side.OUTSIDE: b""}
    for by_client, data in said:
        side = Side.INSIDE if by_client else Side.OUTSIDE
        heard[side] += talk._say(side, data, None).payload
        whole[side] += data
    assert not any(isinstance(event, events.HelperFailed) for event in talk.events)
    if not any(isinstance(event, events.Rewritten) for event in talk.events):
        for side in Side:
            assert whole[side].startswith(heard[side])
            held = talk.flow.rewriter.streams[0 if side is Side.INSIDE else 1].undecided  # type: ignore[union-attr]
            assert heard[side] + bytes(held) == whole[side]
