"""What a record looks like, in a file and in syslog."""

from __future__ import annotations

import json
import os
import re
import socket
from datetime import datetime

import pytest

from ipmasq.translations.lines import FACILITIES, Syslog, about_the_log, as_json, line, timestamp
from ipmasq.translations.records import Ends, Record, Translation
from ipmasq.wire.addresses import Endpoint, to_address

INSIDE = Endpoint(to_address("10.0.0.2"), 5000)
PUBLIC = Endpoint(to_address("203.0.113.1"), 61000)
REMOTE = Endpoint(to_address("198.51.100.1"), 53)
EPOCH = 1_795_871_111.42

RFC5424 = re.compile(
    r"<(?P<priority>\d{1,3})>1 (?P<time>\S+) (?P<host>\S{1,255}) (?P<app>\S{1,48}) "
    r"(?P<process>\S{1,128}) (?P<kind>\S{1,32}) - (?P<text>.*)"
)
"""RFC 5424, 6, without structured data."""


def translation(remote: Endpoint | None = None) -> Translation:
    return Translation(Ends(17, INSIDE, PUBLIC, remote), 0.0, 17)


def test_the_start_of_a_mapping_says_when_who_and_by_which_public_endpoint():
    said = json.loads(as_json(line(Record(0.0, True, translation()), EPOCH)))
    assert said == {
        "time": "2026-11-28T13:05:11.420Z",
        "event": "mapping_opened",
        "protocol": "udp",
        "inside": "10.0.0.2",
        "inside_port": 5000,
        "public": "203.0.113.1",
        "public_port": 61000,
    }


def test_the_end_of_a_mapping_says_also_when_it_began_and_why_it_ended():
    said = json.loads(line(Record(60.5, False, translation(), "idle"), EPOCH).text)
    assert said["event"] == "mapping_closed"
    assert (said["time"], said["opened"]) == (
        "2026-11-28T13:06:11.920Z",
        "2026-11-28T13:05:11.420Z",
    )
    assert said["reason"] == "idle"


def test_with_destinations_a_record_is_about_a_flow():
    said = json.loads(line(Record(0.0, True, translation(REMOTE)), EPOCH).text)
    assert said["event"] == "flow_opened"
    assert (said["remote"], said["remote_port"], said["flow"]) == ("198.51.100.1", 53, 17)


@pytest.mark.parametrize("seconds", [0.0, 0.9994, 0.9996, 1_795_871_999.9999, 1_795_872_000.0])
def test_a_time_is_rounded_to_milliseconds_also_into_the_next_second(seconds: float):
    assert datetime.fromisoformat(timestamp(seconds)).timestamp() == round(seconds, 3)


@pytest.mark.parametrize("facility", FACILITIES)
def test_a_message_for_the_network_is_well_formed(facility: str):
    made = line(Record(0.0, True, translation()), EPOCH)
    found = RFC5424.fullmatch(Syslog(facility).message(made).decode())
    assert found
    assert divmod(int(found["priority"]), 8) == (FACILITIES[facility], 6)
    assert datetime.fromisoformat(found["time"]).timestamp() == EPOCH
    assert found["host"] == socket.gethostname()
    assert (found["app"], found["process"]) == ("ipmasq", str(os.getpid()))
    assert found["kind"] == json.loads(found["text"])["event"] == "mapping_opened"


def test_no_message_is_longer_than_every_receiver_must_accept():
    """RFC 5424, 6.1: 480 bytes."""
    longest = Endpoint(to_address("255.255.255.255"), 65535)
    made = Translation(Ends(255, longest, longest, longest), 1.0, 10**12)
    record = Record(60.0, False, made, "helper_unloaded")
    assert len(Syslog("local7").message(line(record, EPOCH))) <= 480


def test_a_message_for_the_local_logger_leaves_time_and_host_to_it():
    message = Syslog("local0").local(line(Record(0.0, True, translation()), EPOCH))
    assert message.startswith(b"<134>ipmasq[%d]: {" % os.getpid())


def test_a_line_about_the_log_itself_has_its_number():
    said = json.loads(about_the_log("records_lost", EPOCH, count=7).text)
    assert said == {"time": timestamp(EPOCH), "event": "records_lost", "count": 7}
