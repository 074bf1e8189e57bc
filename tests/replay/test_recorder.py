"""The steps of a replay: what was said, what was done with it, and which connection came of it."""

from __future__ import annotations

import json

import pytest
from scapy.all import IP, TCP, UDP

from ipmasq.core.helper import Helper, HelperContext
from ipmasq.core.policy import HelperUse, Policy
from ipmasq.core.reasons import Reason
from ipmasq.helpers.tftp import Tftp
from ipmasq.replay.recorder import LONGEST, shown
from ipmasq.replay.steps import Column, Kind, Outcome, Step, Steps
from tests.replay.cases import CASES, hostile, steps
from tests.replay.tape import CLIENT, POLICY, SERVER, Talk, Tape, active_ftp

REWRITTEN = ("client masqueraded, client announces", "server masqueraded, server announces")


def lines(result: Steps) -> list[Step]:
    return [step for step in result.steps if step.kind is Kind.LINE]


def only(result: Steps, *outcomes: Outcome) -> Step:
    (found,) = [step for step in lines(result) if step.outcome in outcomes]
    return found


@pytest.mark.parametrize("case", CASES)
def test_each_of_the_four_cases_leads_from_the_announcement_to_its_data_connection(case: str):
    result = steps(*CASES[case])
    announcement = only(result, Outcome.REWRITTEN, Outcome.LINKED)
    _, opening = [step for step in result.steps if step.kind is Kind.OPENED]
    assert announcement.led_to == [opening.number]
    assert opening.announced_by == announcement.number
    assert opening.conversation == announcement.flow != opening.flow
    assert not [step for step in result.steps if step.outcome is Outcome.DROPPED]


@pytest.mark.parametrize("case", CASES)
def test_what_the_masqueraded_end_announces_is_rewritten_and_what_the_other_announces_passes(
    case: str,
):
    announcement = only(steps(*CASES[case]), Outcome.REWRITTEN, Outcome.LINKED)
    inside = announcement.source is Column.INSIDE
    assert inside is (case in REWRITTEN)
    assert (announcement.before != announcement.after) is inside
    assert ("203,0,113,1," in announcement.after) is inside


@pytest.mark.parametrize("case", CASES)
def test_every_line_is_a_step_from_the_side_of_its_speaker(case: str):
    said = [(step.source, step.before) for step in lines(steps(*CASES[case]))]
    client, server = (
        (Column.INSIDE, Column.OUTSIDE)
        if "client masq" in case
        else (Column.OUTSIDE, Column.INSIDE)
    )
    assert said[:3] == [(server, "220 ready"), (client, "USER me"), (client, "PASS ***")]
    assert said[-1] == (server, "226 done")


def test_steps_name_the_packet_that_caused_them_as_a_capture_counts_it():
    first, bound, ready, announced, *_ = steps(active_ftp()).steps
    assert [each.packet for each in (first, bound, ready, announced)] == [1, 1, 4, 6]
    assert announced.at == pytest.approx(0.5)


def test_lines_in_one_segment_are_steps_each_with_what_was_done_with_it():
    tape = Tape()
    Talk(tape, (CLIENT, 40000), (SERVER, 21)).client(
        b"PORT 10,0,0,2,19,137\r\nPORT 10,0,0,99,19,137\r\nNOOP\r\n"
    )
    assert [(step.before[:4], step.outcome) for step in lines(steps(tape))] == [
        ("PORT", Outcome.REWRITTEN),
        ("PORT", Outcome.REFUSED),
        ("NOOP", Outcome.PASSED),
    ]


def test_a_refused_announcement_says_why():
    refused = only(steps(hostile()), Outcome.REFUSED)
    assert refused.before == refused.after == "PORT 10,0,0,99,19,137"
    assert refused.sentences[0].startswith("helper ftp did not act on it: ")


def test_a_helper_that_raises_is_a_failed_line_with_its_error():
    class Broken(Helper):
        name = "broken"

        def on_line(self, line: bytes, context: HelperContext) -> None:
            raise KeyError(line)

    use = HelperUse("broken", Broken, 6, frozenset({21}), True)
    failed = lines(steps(active_ftp(), Policy(POLICY.inside, POLICY.public, helpers=(use,))))
    assert {step.outcome for step in failed} == {Outcome.FAILED}
    assert failed[0].sentences == ["helper broken failed on it: KeyError: b'220 ready\\r\\n'"]


def test_datagrams_that_a_helper_is_given_are_steps():
    use = HelperUse("tftp", Tftp, 17, frozenset({69}), True)
    tape = Tape()
    tape.add(IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=69) / b"\0\1file\0octet\0")
    tape.add(IP(src=SERVER, dst=CLIENT) / UDP(sport=6000, dport=5000) / b"\0\3\0\1data")
    result = steps(tape, Policy(POLICY.inside, POLICY.public, helpers=(use,)))
    asked = only(result, Outcome.LINKED)
    assert asked.before == "\\x00\\x01file\\x00octet\\x00"
    assert result.steps[asked.led_to[0] - 1].remote == f"{SERVER}:6000"


def test_a_packet_that_is_dropped_again_and_again_is_one_step_with_their_number():
    tape = Tape()
    for _ in range(5):
        tape.add(IP(src=SERVER, dst=CLIENT) / TCP(sport=20, dport=5001, flags="S"))
    (dropped,) = steps(tape).steps
    assert (dropped.kind, dropped.packets) == (Kind.DROPPED, 5)
    assert (dropped.source, dropped.target) == (Column.OUTSIDE, Column.GATEWAY)
    assert dropped.sentences == [Reason.UNSOLICITED.sentence]


def test_an_announced_connection_that_never_came_is_noted_with_the_reason():
    tape = Tape()
    Talk(tape, (CLIENT, 40000), (SERVER, 21)).client(b"PORT 10,0,0,2,19,137\r\n")
    tape.add(IP(src=CLIENT, dst=SERVER) / UDP(sport=1, dport=53), after=600)
    told = [text for step in steps(tape).steps if step.kind is Kind.NOTE for text in step.sentences]
    assert any("expectation at" in text and Reason.IDLE.sentence in text for text in told)


def test_at_the_end_it_is_said_of_each_flow_whether_it_is_still_open():
    *_, control, data = steps(*CASES["client masqueraded, client announces"]).steps
    assert (control.kind, data.kind) == (Kind.OPEN, Kind.CLOSED)
    assert data.sentences == [Reason.ENDED.sentence]
    assert data.bytes_in > 110


def test_steps_beyond_the_bound_are_counted():
    all_steps = steps(active_ftp())
    few = steps(active_ftp(), most=4)
    assert [each.number for each in few.steps] == [1, 2, 3, 4]
    assert few.more == len(all_steps.steps) - 4


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"PASS secret\r\n", "PASS ***"),
        (b"\tpass\ts e\n", "\\tpass ***"),
        (b"ACCT me\r\n", "ACCT ***"),
        (b"PASV\r\n", "PASV"),
        (b"NOOP PASS x\r\n", "NOOP PASS x"),
        (b"\x1b[2J\xe2\x80\xae\r\n", "\\x1b[2Jâ\\x80®"),
        (b"x" * 2000, "x" * LONGEST + "..."),
    ],
)
def test_a_line_is_shown_visibly_and_without_a_password(line: bytes, text: str):
    assert shown(line) == text


def test_steps_are_values_for_json():
    again = json.loads(json.dumps(steps(hostile()).as_json()))
    assert again["more"] == 0
    assert again["steps"][0]["kind"] == "opened"
