"""Attacks on helpers that work through the stream: forged line starts, hidden lines, ciphertext, crashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core import events
from ipmasq.core.side import Side
from tests.core.conversation import Conversation

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
    assert flow.inspector is None
    assert flow.offloadable


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
            held = talk.flow.inspector.rewriter.streams[0 if side is Side.INSIDE else 1].undecided  # type: ignore[union-attr]
            assert heard[side] + bytes(held) == whole[side]
