"""One odd reply must not blind the helper for the session: whatever a server has said before, a PASV in lockstep
(one command, its reply, the next command) is followed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.helper import Speaker
from ipmasq.helpers.ftp import Ftp
from ipmasq.testing import Talk

SERVER = Speaker.SERVER

COMMANDS = {
    "USER a": "331 Password",
    "PASS b": "230 In",
    "SYST": "215 UNIX",
    "TYPE I": "200 Fine",
    "PWD": '257 "/"',
    "CWD x": "250 Done",
    "NOOP": "200 Fine",
    "SIZE f": "213 7",
    "REST 0": "350 Go on",
    "RETR f": "150 Here\r\n226 Done",
    "LIST": "150 Here\r\n226 Done",
    "ABOR": "225 Closed",
    "STOR f": "553 No",
    "FEAT": "211-Features:\r\n UTF8\r\n EPSV\r\n211 End",
    "STAT": "211-Status\r\n text\r\n211 End",
    "AUTH TLS": "502 No",
    "PASV": "227 Go (10,0,0,9,7,7)",
    "EPSV": "229 Go (|||1799|)",
    "OPTS UTF8 ON": "200 On",
    "PORT 198,51,100,7,4,1": "200 Fine",
}


def missing(reply: str) -> list[str]:
    return []


def doubled(reply: str) -> list[str]:
    return [*reply.split("\r\n"), reply.split("\r\n")[-1]]


def another_code(reply: str) -> list[str]:
    lines = reply.split("\r\n")
    return [*lines[:-1], "220" + lines[-1][3:]] if len(lines) == 1 else lines


def bare_lf(reply: str) -> list[str]:
    lines = reply.split("\r\n")
    if len(lines) == 1 or lines[0][3] != "-":
        return lines  # a single line with a bare LF could be a part of the next one
    return [line + "\n" for line in lines]


def ended_badly(reply: str) -> list[str]:
    return ["553-", "553- text", "150 Opening"]


def usual(reply: str) -> list[str]:
    return reply.split("\r\n")


ODD = [missing, doubled, another_code, bare_lf, ended_badly, usual]


def said(talk: Talk, command: str, odd) -> None:
    talk.client(command)
    for line in odd(COMMANDS[command]):
        talk.server(line)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.__name__)
@pytest.mark.parametrize("command", COMMANDS)
def test_after_any_odd_reply_a_pasv_is_followed(command, odd):
    talk = Talk(Ftp(), SERVER)
    talk.server("220 ready")
    said(talk, command, odd)
    talk.client("PASV")
    assert talk.server("227 Go (10,0,0,9,4,1)").opened


@given(
    st.lists(
        # While it is undecided whether AUTH is granted, nothing may be opened (RFC 6384, 5).
        st.tuples(st.sampled_from(sorted(COMMANDS)), st.sampled_from(ODD)).filter(
            lambda each: each != ("AUTH TLS", missing)
        ),
        min_size=1,
        max_size=12,
    )
)
def test_after_any_odd_exchanges_a_pasv_is_followed(exchanges):
    talk = Talk(Ftp(), SERVER)
    talk.server("220 ready")
    for command, odd in exchanges:
        said(talk, command, odd)
    talk.client("PASV")
    assert talk.server("227 Go (10,0,0,9,4,1)").opened


def test_replies_that_never_come_during_transfers_do_not_add_up():
    """A NOOP during each transfer, which the server never answers."""
    talk = Talk(Ftp(), SERVER)
    talk.server("220 ready")
    for _ in range(50):
        talk.client("PASV")
        assert talk.server("227 Go (10,0,0,9,4,1)").opened
        talk.client("RETR f")
        talk.server("150 Here")
        talk.client("NOOP")
        talk.server("226 Done")
    assert len(talk.helper.dialogue.unanswered) < 5


def test_a_227_of_zeros_means_the_speaker_itself():
    talk = Talk(Ftp(), SERVER)
    talk.server("220 ready")
    talk.client("PASV")
    heard = talk.server("227 Entering Passive Mode (0,0,0,0,195,101)")
    assert heard.opened[0].announced.port == 195 * 256 + 101
    assert b"203,0,113" in heard.after


def test_a_trailing_space_after_the_numbers_of_a_port_is_taken():
    talk = Talk(Ftp(), Speaker.CLIENT)
    assert talk.client("PORT 10,0,0,2,4,1 ").after.endswith(b" \r\n")
    assert talk.log[-1].opened


@pytest.mark.row("A-08", "959-ML")
@pytest.mark.parametrize("before", ["drwx x", "227-more", ""])
def test_a_line_of_a_multi_line_reply_that_still_goes_on_is_no_answer_to_a_later_pasv(before):
    """The client may stop the server in the middle of a reply, by its window."""
    talk = Talk(Ftp(), SERVER)
    talk.server("220 ready")
    talk.client("STAT d")
    talk.server("213-Files")
    if before:
        talk.server(before)
    talk.client("PASV")
    talk.server("227 Entering Passive Mode (10,0,0,9,12,234)").passes()
    talk.server("213 End")
    assert talk.server("227 Entering Passive Mode (10,0,0,9,4,1)").opened


@pytest.mark.row("A-07")
def test_what_a_client_could_have_had_echoed_is_no_answer():
    talk = Talk(Ftp(), SERVER)
    talk.server("220 ready")
    talk.client("227 Entering Passive Mode (10,0,0,9,12,234)")
    talk.client("PASV")
    talk.server("227 Entering Passive Mode (10,0,0,9,12,234)").passes()
    talk.server("PASV").passes()
