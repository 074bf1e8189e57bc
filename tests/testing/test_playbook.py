"""Playbooks as text: what they say, what is a mistake in them, and what they find out."""

from __future__ import annotations

import pytest

from ipmasq.helpers.ftp import Ftp
from ipmasq.testing import PlaybookError, perform, read
from ipmasq.testing import playbook as module
from tests.testing.test_talk import Recording


def test_the_example_in_its_description_is_followed():
    example = (module.__doc__ or "").partition("\n\n")[2].partition("\n\n`masq")[0]
    (playbook,) = read("\n".join(line.removeprefix("    ") for line in example.splitlines()))
    results = list(perform(playbook, Ftp))
    assert [result.fault for result in results] == ["", ""]
    assert results[0].line.checks == [
        ("becomes", "PORT 203,0,113,1,238,72"),
        ("opens", "10.0.0.2:1025"),
    ]


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("passes", "but the test says: is unchanged"),
        ("becomes: bbc", ""),
        ("becomes: x", 'but the test says: becomes "x\\r\\n"'),
        ("opens: 10.0.0.2:5000", "but the test says: opens 10.0.0.2:5000"),
        ("refused", "but the test says: is refused"),
        ("stops", "but the test says: ends the inspection"),
    ],
)
def test_what_is_not_as_the_playbook_says_is_a_fault(check: str, fault: str):
    (playbook,) = read(f"client: ac\n  {check}\n")
    (result,) = perform(playbook, Recording)
    assert result.fault.endswith(fault)
    assert bool(result.fault) is bool(fault)


def test_a_line_has_escapes_for_every_byte():
    (playbook,) = read(r"client: \x01\\\xff\0 \t")
    assert playbook.lines[0].text == "\x01\\\xff\0 \t"


def test_several_conversations_follow_each_other():
    first, second = read("client: x\nmasqueraded: both\n\n# text\nserver: y\n")
    assert (first.masqueraded, second.masqueraded) == ("client", "both")
    assert [(line.number, line.speaker) for line in second.lines] == [(5, "server")]


def test_a_helper_that_raises_ends_its_conversation():
    class Broken(Recording):
        def may_rewrite(self, speaker, partial):
            raise KeyError("x")

    (playbook,) = read("client: a\nclient: b\n")
    (result,) = perform(playbook, Broken)
    assert (result.heard, result.fault) == (None, "KeyError: 'x'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("client x", 'line 1: write "client: '),
        ("clients: x", 'line 1: write "client: '),
        ("masqueraded: me", 'line 1: write "client: '),
        ("  passes", "line 1: there is no line above"),
        ("masqueraded: client\n  passes", "line 2: there is no line above"),
        ("client: x\n  becomes", "line 2: write one of becomes: ..."),
        ("client: x\n  passes: y", "line 2: write one of becomes: ..."),
        ("client: x\n  vanishes", "line 2: write one of becomes: ..."),
        ("client: x\n  opens: 10.0.0.2", "line 2: 10.0.0.2 is not ADDRESS:PORT"),
        (r"client: \q", r"line 1: write a backslash as \\"),
        (r"client: \x1", r"line 1: write a backslash as \\"),
        ("client: €", r"line 1: write each byte beyond ASCII as \xNN"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, said: str):
    with pytest.raises(PlaybookError) as error:
        read(text)
    assert str(error.value).startswith(said)
