"""Why a transfer failed, in one sentence, from the events."""

from __future__ import annotations

import pytest

from ipmasq.control.transfers import Transfers, refusal
from ipmasq.core import expectations
from ipmasq.core.events import (
    Event,
    ExpectationEnded,
    ExpectationMissed,
    FlowClosed,
    FlowEncrypted,
    Refused,
)
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.wire.addresses import Endpoint, to_address

THERE = Endpoint(to_address("192.168.1.4"), 1025)
PUBLIC = Endpoint(to_address("203.0.113.1"), 61000)
SENTENCE = (
    "the server announced 192.168.1.4:1025, which is not its own address, so nothing was opened"
)


def refused(
    flow: int = 7, reason: str = expectations.NOT_ITS_OWN, announced: Endpoint | None = THERE
) -> Refused:
    line = b"227 Entering Passive Mode (192,168,1,4,4,1).\r\n"
    return Refused(1.0, flow, "ftp", Speaker.SERVER, reason, line, announced)


def knowing(*happened: Event) -> Transfers:
    known = Transfers()
    known.observe(happened)
    return known


def ended(reason: Reason, met_by: int | None = None) -> ExpectationEnded:
    return ExpectationEnded(2.0, 7, "ftp", PUBLIC, reason, met_by)


def test_a_refused_announcement_is_told_of_its_control_flow_and_of_the_connection_that_failed():
    known = knowing(refused())
    assert known.about(7) == SENTENCE
    assert known.at(THERE) == f"{SENTENCE} (flow 7)"
    assert known.about(8) is None
    assert known.at(PUBLIC) is None


@pytest.mark.parametrize(
    ("reason", "clause"),
    [
        (expectations.SYSTEM_PORT, "which is a port below 1024"),
        (expectations.NO_PORT, "but no public port is free"),
        (expectations.HOST_HAS_TOO_MANY, "but its host has too many announcements"),
        (expectations.HOST_HAS_TOO_MANY_PORTS, "but its host has too many public ports"),
        ("another reason", "but another reason"),
    ],
)
def test_every_reason_makes_a_sentence(reason: str, clause: str):
    assert f"192.168.1.4:1025, {clause}" in refusal(refused(reason=reason))


def test_a_refused_line_that_announces_nothing_is_shown():
    said = refusal(refused(reason="asked for it", announced=None))
    assert said.startswith('the server sent "227 Entering Passive Mode')
    assert said.endswith("on which helper ftp did not act: asked for it")


def test_a_connection_that_did_not_come_is_told_and_one_that_came_ends_what_was_told():
    known = knowing(refused(), ended(Reason.IDLE))
    assert known.at(PUBLIC) == (
        "the connection that was announced for 203.0.113.1:61000 did not come in time (flow 7)"
    )
    known.observe([ended(Reason.MET, 9)])
    assert (known.about(7), known.at(PUBLIC), known.at(THERE)) == (None, None, None)


@pytest.mark.parametrize(
    ("side", "works"),
    [(Side.INSIDE, "passive transfers still work"), (Side.OUTSIDE, "that a forward publishes")],
)
def test_an_encrypted_flow_says_what_still_works_as_long_as_it_lives(side: Side, works: str):
    known = knowing(refused(), FlowEncrypted(1.0, 7, "ftp", side))
    assert known.is_encrypted(7)
    assert works in str(known.about(7))
    known.observe([FlowClosed(2.0, 7, Reason.IDLE, 0, 0, 0, 0)])
    assert not known.is_encrypted(7)
    assert known.about(7) == SENTENCE, "this is wanted after the end, too"


def test_what_is_kept_is_bounded_and_the_latest_stays():
    known = Transfers(most=10)
    known.observe([refused(flow) for flow in range(100)])
    known.observe([FlowEncrypted(1.0, flow, "ftp", Side.INSIDE) for flow in range(200, 300)])
    told = [flow for flow in range(300) if known.about(flow)]
    assert told == [*range(90, 100), *range(290, 300)]
    assert known.at(THERE) == f"{SENTENCE} (flow 99)"


def test_a_connection_from_another_address_is_the_reason_also_when_the_expected_one_is_late():
    stranger = Endpoint(to_address("203.0.113.99"), 20)
    missed = ExpectationMissed(1.0, 7, "ftp", PUBLIC, THERE.address, stranger)
    known = knowing(missed, ended(Reason.IDLE))
    sentence = (
        "a connection from 203.0.113.99:20 to 203.0.113.1:61000 was dropped: "
        "helper ftp expects it from 192.168.1.4 only"
    )
    assert known.about(7) == sentence
    assert known.at(PUBLIC) == f"{sentence} (flow 7)"
    assert knowing(missed, ended(Reason.MET, met_by=8)).about(7) is None
