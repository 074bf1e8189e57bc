"""Captures that begin in the middle of a conversation."""

from __future__ import annotations

from ipmasq.core.reasons import Reason
from ipmasq.replay.earlier import UNKNOWN
from ipmasq.replay.html import render
from ipmasq.replay.steps import Kind
from tests.replay.cases import steps
from tests.replay.tape import CLIENT, SERVER, Talk, Tape


def begun_earlier() -> Tape:
    """An active transfer whose control connection, and the line that announced the data, are older."""
    tape = Tape()
    control = Talk(tape, (CLIENT, 40000), (SERVER, 21), is_new=False)
    control.server(b"150 here it comes\r\n")
    data = Talk(tape, (SERVER, 20), (CLIENT, 5001))
    data.client(b"the file" * 10)
    data.close()
    control.server(b"226 done\r\n")
    return tape


def test_what_began_earlier_is_one_step_each_and_no_refusal():
    found = steps(begun_earlier())
    assert [(each.kind, each.packets) for each in found.steps] == [
        (Kind.EARLIER, 4),
        (Kind.EARLIER, 8),
    ]
    control, data = found.steps
    assert (control.inside, control.remote) == (f"{CLIENT}:40000", f"{SERVER}:21")
    assert (data.inside, data.remote) == (f"{CLIENT}:5001", f"{SERVER}:20")
    page = render(found, "in.pcap", {})
    assert page.count("Unknown connection (TCP, ") == 2
    assert '<tr id="step-1" class="earlier told"' in page


def test_it_is_counted_apart_and_written_as_it_came():
    summary, records, _ = begun_earlier().replay()
    assert (summary.earlier, summary.reasons) == (12, {})
    assert [each.comments for each in records] == [(f"not translated: {UNKNOWN}",)] * 12


def test_a_segment_after_the_end_of_its_connection_is_still_dropped():
    tape = Tape()
    talk = Talk(tape, (CLIENT, 40000), (SERVER, 80))
    talk.close()
    tape.at += 10**13
    talk.client(b"late")
    summary, _, _ = tape.replay()
    assert summary.earlier == 0
    assert summary.reasons[Reason.NO_FLOW] == 1
    assert Kind.DROPPED in [each.kind for each in steps(tape).steps]


def test_a_connection_that_another_host_opens_is_still_refused():
    tape = begun_earlier()
    Talk(tape, ("198.51.100.77", 20), (CLIENT, 5001))
    summary, _, _ = tape.replay()
    assert summary.earlier == 12
    assert summary.reasons[Reason.UNSOLICITED] == 2
