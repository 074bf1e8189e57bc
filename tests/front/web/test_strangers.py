"""Strangers without a token neither keep others out, nor fill the log, nor let the gateway work for nobody."""

from __future__ import annotations

import io
import itertools
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ipmasq.front.web import guard, slots, turns
from ipmasq.front.web.connections import MOST_CONNECTIONS, MOST_PER_ADDRESS
from ipmasq.front.web.seldom import LOGGERS, Seldom
from tests.control.running import Running
from tests.front.web.asking import BEARER, JSON, ask
from tests.front.web.serving import TOKEN, Served, served

AUTHORIZED = f"Authorization: Bearer {TOKEN}\r\n".encode()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process writes to its standard error: warnings and worse."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "filters", [Seldom()])
        logger.addHandler(handler)
    yield written
    for name in LOGGERS:
        logging.getLogger(name).removeHandler(handler)


@pytest.fixture
def pages(gateway: Running) -> Iterator[Served]:
    with served(gateway.path, token=TOKEN, allows_changes=True) as pages:
        yield pages


def connected(pages: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", pages.port), 30)


ODD = (
    b"http://[",
    b"[",
    b"//",
    b":",
    b"\xff\xfe",
    b"\xb2",
    b"-1",
    b"http://localhost:x",
    b"%00",
    b"=;" * 5000,
)
NAMES = (
    *(
        b"Origin",
        b"Cookie",
        b"Authorization",
        b"Content-Length",
        b"Sec-Fetch-Site",
        b"Sec-Fetch-Mode",
    ),
    *(
        b"Last-Event-ID",
        b"Content-Type",
        b"X-Forwarded-Proto",
        b"X-Requested-With",
        b"Upgrade",
        b"Expect",
    ),
)
BODIES = (b"", b"&".join([b"a=b"] * 6), b"token=%ff%fe", b"\xff")


def mistakes() -> Iterator[bytes]:
    """Yield requests that no browser makes."""
    host = b"Host: localhost\r\n"
    for name, text in itertools.product(NAMES, ODD):
        yield b"GET / HTTP/1.1\r\n" + host + name + b": " + text + b"\r\n\r\n"
    for text in ODD:
        yield b"GET / HTTP/1.1\r\nHost: " + text + b"\r\n\r\n"
        yield b"GET /" + text + b" HTTP/1.1\r\n" + host + b"\r\n"
        yield b"GET /login?" + text + b" HTTP/1.1\r\n" + host + b"\r\n"
    for method, body in itertools.product((b"POST", b"PUT", b"OPTIONS", b"X"), BODIES):
        for path in (b"/login", b"/", b"/logout"):
            head = method + b" " + path + b" HTTP/1.1\r\n" + host + b"Origin: http://localhost\r\n"
            yield head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    yield b"POST /login HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nxx\r\n"
    yield b"GET / HTTP/1.1\r\n" + host + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"


def test_a_clients_mistake_gets_a_status_for_it_with_our_headers_and_no_line(
    pages: Served, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(guard, "WRONG_TOKEN_DELAY", 0)
    for text in mistakes():
        with connected(pages) as link:
            link.sendall(text)
            head = b"".join(iter(link.makefile("rb").readline, b"\r\n"))
        status = int(head.split()[1])
        assert 200 <= status < 500, text
        assert b"default-src 'none'" in head, text
    lines = log.getvalue().splitlines()
    assert all("a wrong token came from 127.0.0.1" in line for line in lines), lines
    assert len(lines) <= 1


def test_half_a_body_and_what_follows_a_refusal_are_no_line(pages: Served, log: io.StringIO):
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    halves = (
        head % b"/login" + b"Content-Length: 9\r\n\r\ntok",
        head % b"/api/replay" + AUTHORIZED + b"Content-Length: 9\r\n\r\ntok",
        head % b"/api/change/close"
        + AUTHORIZED
        + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        head % b"/" + b"Transfer-Encoding: chunked\r\n\r\n",
    )
    for text in halves:
        with connected(pages) as link:
            link.sendall(text)
            if b"chunked" in text:
                assert b"401" in link.recv(4096)
                link.sendall(b"this is no chunk\r\n\r\n")
        assert ask(pages, "/login").status == 200
    assert log.getvalue() == ""


def test_a_wrong_token_in_a_header_waits_like_one_in_the_form(
    pages: Served, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
):
    waited = []
    real = guard.asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await real(0)

    monkeypatch.setattr(guard.asyncio, "sleep", sleep)
    for path in ("/api/view/flows", "/", "/app.js"):
        waited.clear()
        assert ask(pages, path, authorization="Bearer wrong").status in (303, 401)
        assert guard.WRONG_TOKEN_DELAY in waited
    waited.clear()
    assert ask(pages, "/api/view/forwards", **BEARER).status == 200
    assert ask(pages, "/api/view/forwards").status == 401
    assert guard.WRONG_TOKEN_DELAY not in waited
    assert log.getvalue() == "a wrong token came from 127.0.0.1\n"


def test_idle_connections_keep_nobody_out_and_are_closed_as_they_come(
    pages: Served, log: io.StringIO
):
    with ExitStack() as stack:
        links = [stack.enter_context(connected(pages)) for _ in range(3 * MOST_CONNECTIONS)]
        stream = ask(pages, "/api/events", **BEARER)
        for each in links[:-MOST_PER_ADDRESS]:
            assert each.recv(1) == b""
        for _ in range(20):
            links.append(stack.enter_context(connected(pages)))
            assert ask(pages, "/api/view/forwards", **BEARER).status == 200
        assert stream.readline() == b"retry: 1000\n"
        assert stream.fp.peek()
    (line,) = log.getvalue().splitlines()
    assert line.endswith("of 127.0.0.1")


def question(pages: Served, view: str) -> socket.socket:
    """Ask, and do not wait for the answer."""
    link = connected(pages)
    head = f"GET /api/view/{view} HTTP/1.1\r\nHost: localhost\r\n".encode()
    link.sendall(head + AUTHORIZED + b"\r\n")
    return link


class Silent:
    """A gateway that has so much to do that it answers nobody."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(64)
        self._listener.settimeout(30)
        self._links: list[socket.socket] = []

    def asked(self) -> tuple[str, socket.socket]:
        """Return the next request and its connection; those of the feed are left out."""
        while True:
            link, _ = self._listener.accept()
            link.settimeout(30)
            self._links.append(link)
            line = link.makefile("rb").readline()
            request = json.loads(line)["request"] if line else ""  # given up before it was sent
            if request not in ("summary", "watch", ""):
                return request, link

    def close(self) -> None:
        for each in (self._listener, *self._links):
            each.close()


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Silent]:
    made = Silent(tmp_path / "silent.sock")
    yield made
    made.close()


def answer(link: socket.socket) -> None:
    link.sendall(b'{"done": {}}\n')


@pytest.mark.parametrize("more", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", bytes(99_999)])
def test_a_question_ends_when_its_browser_has_gone(silent: Silent, more: bytes):
    """It does so also if more has come on the connection than the question."""
    with served(silent.path, token=TOKEN) as pages:
        for view in ("flows?host=10.9.9.9", "doctor", "top"):
            with question(pages, view) as asking:
                _, link = silent.asked()
                asking.sendall(more)
            assert link.recv(1) == b""


def test_requests_that_come_at_once_are_answered_in_their_order(pages: Served):
    with connected(pages) as link:
        head = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZED
        asked = (b"api/view/forwards", b"nothing", b"api/view/stats")
        link.sendall(b"".join(head % path + b"\r\n" for path in asked))
        replies = link.makefile("rb")
        found = []
        for _ in asked:
            top = b"".join(iter(replies.readline, b"\r\n"))
            found.append(int(top.split()[1]))
            replies.read(int(top.lower().partition(b"content-length: ")[2].split()[0]))
    assert found == [200, 404, 200]


def test_who_asks_much_keeps_nobody_out(silent: Silent):
    """The gateway is asked so many questions of each kind at a time. Who waits and goes away is not asked for."""
    with served(silent.path, token=TOKEN) as pages, ExitStack() as stack:
        hog = [stack.enter_context(question(pages, "flows?host=10.9.9.9")) for _ in range(20)]
        first = [silent.asked() for _ in range(turns.WALKS)]
        assert [request for request, _ in first] == ["flows"] * turns.WALKS
        other = stack.enter_context(question(pages, "forwards"))
        request, link = silent.asked()
        assert request == "forwards"
        answer(link)
        assert b"200" in other.makefile("rb").readline()
        for each in hog:
            each.close()
        for _, link in first:
            assert link.recv(1) == b""
        last = stack.enter_context(question(pages, "mappings"))
        while request != "mappings":
            request, link = silent.asked()
        answer(link)
        assert b"200" in last.makefile("rb").readline()


def test_an_argument_that_is_too_long_is_refused(pages: Served):
    """Without it, the answer would be about other flows than were asked for."""
    for length, status in ((100, 400), (101, 400)):
        asked = ask(pages, f"/api/view/flows?host={'1' * length}", **BEARER)
        assert asked.status == status
    assert "at most 100 characters" in json.loads(asked.read())["error"]["message"]


def test_what_has_no_bytes_in_utf_8_is_answered_like_anything_else(pages: Served, log: io.StringIO):
    body = b'{"\\ud800": 1}'
    found = ask(pages, "/api/change/close", "POST", body, **JSON, **BEARER)
    assert found.status == 400
    assert log.getvalue() == ""


def test_a_capture_that_does_not_come_in_time_gives_its_place_to_another(
    pages: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(slots, "UPLOAD", 0.1)
    with connected(pages) as link:
        head = b"POST /api/replay HTTP/1.1\r\nHost: localhost\r\n" + AUTHORIZED
        link.sendall(head + b"Content-Length: 999\r\n\r\nx")
        assert b" 408 " in link.makefile("rb").readline()
