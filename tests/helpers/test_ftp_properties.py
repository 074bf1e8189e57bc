"""What holds for any conversation: nothing raises, and nothing but an endpoint is ever changed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.helper import Speaker
from ipmasq.helpers.ftp import Ftp
from ipmasq.testing import CLIENT, SERVER, Talk
from tests.helpers.ftp_oracle import check, skip_telnet
from tests.helpers.ftp_talk import Bytes, converse

CHANCE = st.binary(max_size=200)
SIDES = st.frozensets(st.sampled_from(Speaker))
OCTETS = st.integers(0, 255)
PORTS = st.integers(0, 65535)


@pytest.mark.row("A-15", "6384-10")
@given(CHANCE)
def test_every_line_of_any_plausible_conversation_is_treated_lawfully(data):
    converse(Bytes(data), lines=12)


@pytest.mark.row("A-15")
def test_a_long_random_run_does_rewrite_every_form():
    """The properties would be empty if nothing were ever rewritten."""
    chance = random.Random(959)
    talks = [converse(chance.randrange, lines=12) for _ in range(1000)]
    changed = [h.line for talk in talks for h in talk.log if h.after != h.line]
    forms = Counter(skip_telnet(line)[:4].upper() for line in changed)
    assert min(forms[form] for form in (b"PORT", b"EPRT", b"227 ", b"229 ")) > 10


@pytest.mark.row("A-15")
@given(SIDES, st.lists(st.tuples(st.sampled_from(Speaker), st.binary(max_size=60)), max_size=20))
def test_any_bytes_from_both_ends_are_survived_and_pass_unchanged(masqueraded, said):
    talk = Talk(Ftp(), masqueraded)
    for speaker, data in said:
        for heard in talk.feed(speaker, data):
            assert heard.after == heard.line


@pytest.mark.row("A-15")
@given(SIDES, st.sampled_from(Speaker), st.binary(max_size=40), st.binary(max_size=40))
def test_an_announcement_with_anything_before_and_after_it_is_treated_lawfully(
    masqueraded, speaker, before, after
):
    talk = Talk(Ftp(), masqueraded)
    me = talk.ends.real(speaker).address
    for form in (
        b"%d,%d,%d,%d,4,1" % tuple(me),
        b"(|||1025|)",
        b"|1|%d.%d.%d.%d|1025|" % tuple(me),
    ):
        for start in (b"PORT ", b"EPRT ", b"227 ", b"229 "):
            talk.client("PASV" if start == b"227 " else "EPSV")
            line = start + before.replace(b"(", b"[") + form + after
            for heard in talk.feed(speaker, line.replace(b"\r\n", b"") + b"\r\n"):
                check(talk, speaker, heard)
            talk.helper.dialogue.unanswered.clear()
            talk.helper.dialogue.within = b""


@pytest.mark.row("959-PORT", "1123-10")
@given(PORTS, st.integers(0, 40))
def test_a_port_is_rewritten_wherever_it_is_cut(port, cut):
    talk = Talk(Ftp(), CLIENT)
    line = b"PORT 10,0,0,2,%d,%d\r\n" % divmod(port, 256)
    heard = [h for part in (line[:cut], line[cut:]) for h in talk.feed(CLIENT, part)]
    assert [h.after != h.line for h in heard] == [port >= 1024]
    check(talk, CLIENT, heard[0])


@pytest.mark.row("959-227", "1123-10")
@given(PORTS, st.text(st.characters(exclude_characters="(0123456789\r\n", max_codepoint=255)))
def test_a_227_is_rewritten_in_any_text_without_digits(port, text):
    talk = Talk(Ftp(), SERVER)
    talk.client("PASV")
    heard = talk.server("227 %s10,0,0,9,%d,%d)" % (text, *divmod(port, 256)))
    assert (heard.after != heard.line) is (port >= 1024)
    check(talk, SERVER, heard)


@given(CHANCE, st.binary(max_size=12))
def test_asking_whether_a_line_is_awaited_changes_nothing(data, partial):
    helper = converse(Bytes(data), lines=6).helper
    before = repr(vars(helper))
    for speaker in Speaker:
        helper.may_rewrite(speaker, partial)
    assert repr(vars(helper)) == before
