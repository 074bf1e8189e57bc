"""The helper in conversation. `Talk` gives it every byte alone, and answers as the gateway does."""

from pathlib import Path

import pytest
from ipmasq_rexec.helper import Rexec

from ipmasq.testing import CLIENT, SERVER, Talk, perform, read

PLAYBOOK = Path(__file__).with_name("rexec.talk").read_text(encoding="utf-8")


def test_the_playbook_is_followed():
    results = [result for each in read(PLAYBOOK) for result in perform(each, Rexec)]
    assert [f"line {each.line.number}: {each.fault}" for each in results if each.fault] == []


def test_all_strings_in_one_segment_are_one_announcement_and_the_end_of_the_inspection():
    talk = Talk(Rexec(), masqueraded=CLIENT)
    first, *_ = talk.feed(CLIENT, b"5000\0" + b"me\0" + b"6000\0" + b"ls\0")
    first.opens("10.0.0.2:5000").becomes("61000\0").stops()
    assert len(talk.log) == 1


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", b"123456", b"-1\0", b" 5\0"])
def test_inspection_ends_where_no_port_can_begin(said):
    talk = Talk(Rexec(), masqueraded=CLIENT)
    assert talk.feed(CLIENT, said) == []
    assert talk.stopped


def test_what_the_server_sends_opens_nothing():
    talk = Talk(Rexec(), masqueraded=SERVER)
    for heard in talk.feed(SERVER, b"5000\0"):
        heard.passes().never_held()
