"""What is written to the log, as lines of text and as JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from ipmasq.core import events
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.gateway import logs
from ipmasq.gateway.describe import sentence
from ipmasq.gateway.log_formats import JsonFormatter, TextFormatter
from ipmasq.gateway.logs import LineLimiter, Writer, level_of, log
from ipmasq.wire.addresses import Address, Endpoint, to_address, to_text

HOST, OTHER, REMOTE = map(to_address, ("10.0.0.2", "10.0.0.3", "198.51.100.1"))
PUBLIC = Endpoint(to_address("203.0.113.1"), 61000)


class Written:
    def __init__(self) -> None:
        self.now = 0.0
        self.limiter = LineLimiter(lambda: self.now)
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture(params=[TextFormatter("%(levelname)s %(message)s"), JsonFormatter()])
def written(request: pytest.FixtureRequest) -> Iterator[Written]:
    """What the log says, at levels from INFO on."""
    found = Written()
    handler = logging.StreamHandler(found.stream)
    handler.setFormatter(request.param)
    handler.addFilter(found.limiter)
    before = log.handlers, log.level, log.propagate
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)
    yield found
    log.handlers, level, log.propagate = before
    log.setLevel(level)


def opened(flow: int, host: Address) -> events.FlowOpened:
    inside, remote = Endpoint(host, 4000 + flow), Endpoint(REMOTE, 21)
    ends = inside, PUBLIC, remote, remote
    return events.FlowOpened(0.0, flow, 6, Side.INSIDE, *ends, "masquerade", None)


def expected(announced: Endpoint, public: Endpoint) -> events.Expected:
    return events.Expected(0.0, 1, "ftp", Speaker.CLIENT, 6, announced, public, REMOTE, 300.0)


def watched(flow: int, host: Address) -> list[events.Event]:
    return [opened(flow, host), events.HelperBound(0.0, flow, "ftp", 21, "destination port")]


def refused(flow: int, line: bytes, reason: str = "not its own address") -> events.Refused:
    return events.Refused(0.0, flow, "ftp", Speaker.CLIENT, reason, line)


def test_a_refusal_that_is_repeated_is_written_five_times_and_summed_up(written: Written) -> None:
    write = Writer(lambda flow: None)
    for number in range(1000):  # by as many flows as it likes, with whatever in the line
        write([*watched(number, HOST), refused(number, b"PORT %d\r\n" % number)])
    assert len(written.lines) == 5
    write([*watched(5000, OTHER), refused(5000, b"PORT 1\r\n")])
    write([refused(5000, b"PORT 1\r\n", "another reason")])
    assert len(written.lines) == 7
    written.now = 60.0
    written.limiter.look()
    assert len(written.lines) == 8
    assert (
        "995 more like it about 10.0.0.2 in the last 60 s: helper ftp did not act on"
        in written.lines[7]
    )
    assert "WARNING" in written.lines[7].upper()
    assert written.limiter.left_out == 995


def test_the_host_of_a_flow_that_is_older_than_its_helper_is_asked_for(written: Written) -> None:
    write = Writer({7: HOST, 8: OTHER}.get)
    write([events.HelperBound(0.0, flow, "ftp", 21, "destination port") for flow in (7, 8)])
    write([refused(7, b"x")] * 9 + [refused(8, b"x")] * 9)
    assert len(written.lines) == 10


def test_hosts_are_forgotten_with_their_flows() -> None:
    write = Writer(lambda flow: None)
    write(watched(1, HOST))
    assert write._hosts == {1: HOST}
    write([events.FlowClosed(0.0, 1, events.Reason.IDLE, 0, 0, 0, 0)])
    assert write._hosts == {}


def test_what_an_operator_does_is_written_each_time_and_the_same_line_is_not(
    written: Written,
) -> None:
    write = Writer(lambda flow: None)
    write([events.ForwardAdded(0.0, f"forward{number}") for number in range(20)])
    assert len(written.lines) == 20
    for _ in range(20):
        log.error("the kernel refuses a routing change")
    assert len(written.lines) == 25


def test_however_many_hosts_are_written_about_what_is_about_none_is_written(
    written: Written,
) -> None:
    write = Writer(lambda flow: None)
    for number in range(2000):
        host = to_address(f"10.0.{number // 250}.{number % 250}")
        write([events.LimitReached(0.0, events.Reason.NO_PORTS, host, 17, 4096, 1)])
    before = len(written.lines)
    assert before <= 300
    log.error("a part of the gateway failed")
    write([events.SettingRestored(0.0, "net.ipv4.ip_forward", "0", "1", "")])
    assert len(written.lines) == before + 2


def test_good_news_and_what_is_usual_are_no_warnings(written: Written) -> None:
    assert level_of(events.FirewallObstructed) == logging.WARNING
    assert level_of(events.FirewallCleared) == logging.INFO
    write = Writer(lambda flow: None)
    public = Endpoint(OTHER, 61000)
    write([expected(public, public)])
    write([events.PolicyApplied(0.0, 0)])  # whoever applies it says what is new
    assert written.lines == []


def test_an_expectation_says_only_once_where_it_is() -> None:
    public, inside = Endpoint(OTHER, 61000), Endpoint(HOST, 5000)
    for announced, more in ((public, ""), (inside, ", for 10.0.0.2:5000")):
        event = expected(announced, public)
        assert sentence(event) == f"helper ftp expects TCP from {to_text(REMOTE)} to {public}{more}"


def test_debugging_is_complete(written: Written) -> None:
    log.setLevel(logging.DEBUG)
    Writer(lambda flow: None)([opened(number, HOST) for number in range(100)])
    assert len(written.lines) == 100


NASTY = "web\n2026-01-01 ERROR forged\x1b[2J\u202egnp"


@pytest.mark.parametrize(
    "event",
    [
        events.ForwardAdded(0.0, NASTY),
        events.HelperLoaded(0.0, NASTY, False),
        events.HelperFailed(0.0, 1, NASTY, Speaker.CLIENT, NASTY.encode("utf8", "replace"), NASTY),
        refused(1, b"PORT \x1b[2J\n\x00\xff" * 9, NASTY),
    ],
)
def test_whatever_a_line_is_made_of_it_is_one_visible_line(
    written: Written, event: events.Event
) -> None:
    Writer(lambda flow: None)([event])
    (line,) = written.lines
    assert line.isprintable()
    said = json.loads(line)["message"] if line.startswith("{") else line
    assert said.isprintable()
    assert "\\x1b[2J" in said


def test_what_modules_say_by_themselves_is_visible_too(written: Written) -> None:
    logging.getLogger("ipmasq.some.module").error("it said %s", NASTY)
    assert len(written.lines) == 1
    assert written.lines[0].isprintable()


def test_a_trace_is_for_programs_and_for_debugging(written: Written) -> None:
    def fail() -> None:
        try:
            raise ValueError(NASTY)
        except ValueError:
            log.exception("a sentence")

    fail()
    as_json = written.lines[0].startswith("{")
    assert ("Traceback" in written.stream.getvalue()) is as_json
    assert len(written.lines) == 1
    log.setLevel(logging.DEBUG)
    fail()
    assert "Traceback" in written.stream.getvalue()
    assert all(line.isprintable() for line in written.lines)


def test_failures_are_errors_whatever_failed() -> None:
    assert logs.level_of(events.PacketFailed) == logging.ERROR
    assert logs.level_of(events.HelperFailed) == logging.ERROR
    assert logs.level_of(events.FlowOpened) == logging.DEBUG


def test_each_host_that_is_refused_something_is_warned_of(written: Written):
    """And a second time within the minute only for another reason."""
    write = Writer(lambda flow: None)
    for host in (HOST, OTHER):
        for reason in (Reason.PORT_LIMIT, Reason.NO_PORTS):
            write([events.LimitReached(0.0, reason, host, 17, 20, 1)])
    write([events.LimitNeared(0.0, "ports", None, PUBLIC.address, 6, 80, 100)])
    assert len(written.lines) == 5
    assert "host 10.0.0.2 has reached its limit of 20 UDP ports" in written.lines[0]
    assert "80 of 100 TCP ports of 203.0.113.1 are in use" in written.lines[-1]
    assert all("warning" in line.lower() for line in written.lines)
