"""What strangers try with the web process is refused: other origins, other names, wrong tokens, too much, too slowly."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from ipmasq.core.events import HelperBound
from ipmasq.front.web import events, guard, serving, sessions
from tests.control.running import Running, running
from tests.front.web.asking import BEARER, JSON, ask
from tests.front.web.serving import TOKEN, Served, served


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tests here come with a wrong token."""
    monkeypatch.setattr(guard, "WRONG_TOKEN_DELAY", 0.001)


@pytest.fixture
def pages(gateway: Running) -> Iterator[Served]:
    """Pages that need a token, and may change something."""
    with served(gateway.path, token=TOKEN, allows_changes=True) as pages:
        yield pages


def test_with_the_token_in_a_header_everything_can_be_asked(pages: Served):
    answer = ask(pages, "/api/view/forwards", **BEARER)
    assert answer.status == 200
    assert json.loads(answer.read())["rows"][0]["name"] == "web"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong-token-of-the-tests-012345"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": "Bearer \xff\xfe"},
        {"cookie": "ipmasq="},
        {"cookie": f"ipmasq={TOKEN}"},
        {"cookie": "ipmasq=\xff; =;;"},
    ],
)
@pytest.mark.parametrize("path", ["/api/view/flows", "/api/events", "/app.js", "/vendor/preact.js"])
def test_without_the_token_nothing_is_shown(pages: Served, path: str, headers: dict[str, str]):
    assert ask(pages, path, **headers).status == 401


def test_a_token_in_an_address_is_no_token(pages: Served):
    assert ask(pages, f"/api/view/forwards?token={TOKEN}").status == 401
    assert ask(pages, f"/login?token={TOKEN}").getheader("set-cookie") is None


def login(pages: Served, token: str, **headers: str) -> HTTPResponse:
    said = {"content_type": "application/x-www-form-urlencoded", "origin": pages.address, **headers}
    return ask(pages, "/login", "POST", f"token={token}".encode(), **said)


def test_a_form_exchanges_the_token_for_a_cookie_that_scripts_and_other_pages_never_get(
    pages: Served,
):
    answer = login(pages, TOKEN)
    assert (answer.status, answer.getheader("location")) == (303, "/")
    cookie = answer.getheader("set-cookie") or ""
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert ask(pages, "/api/view/forwards", cookie=cookie.split(";")[0]).status == 200


def test_a_wrong_token_gets_no_cookie_and_has_to_wait(
    pages: Served, monkeypatch: pytest.MonkeyPatch
):
    waited = []
    real = guard.asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await real(0)

    monkeypatch.setattr(guard.asyncio, "sleep", sleep)
    answer = login(pages, TOKEN + "x")
    assert (answer.status, answer.getheader("set-cookie")) == (401, None)
    assert guard.WRONG_TOKEN_DELAY in waited


def test_a_session_ends_by_a_request_of_our_page_and_of_no_other(pages: Served):
    cookie = (login(pages, TOKEN).getheader("set-cookie") or "").split(";")[0]
    assert ask(pages, "/logout", "POST", b"", cookie=cookie).status == 403
    assert ask(pages, "/logout", cookie=cookie).status == 404
    assert ask(pages, "/api/view/forwards", cookie=cookie).status == 200
    answer = ask(pages, "/logout", "POST", b"", cookie=cookie, origin=pages.address)
    assert (answer.status, answer.getheader("location")) == (303, "/login")
    assert "max-age=0" in (answer.getheader("set-cookie") or "").lower()
    assert ask(pages, "/api/view/forwards", cookie=cookie).status == 401


def test_a_stream_ends_with_its_session(pages: Served):
    cookie = (login(pages, TOKEN).getheader("set-cookie") or "").split(";")[0]
    stream = ask(pages, "/api/events", cookie=cookie)
    assert stream.readline()
    ask(pages, "/logout", "POST", b"", cookie=cookie, origin=pages.address)
    assert stream.read().endswith(b"\n\n")


@pytest.mark.parametrize(
    ("origin", "headers", "is_secure"),
    [
        ("http://gateway.example", {}, False),
        ("https://gateway.example", {}, True),
        ("http://gateway.example", {"x_forwarded_proto": "https"}, True),
    ],
)
def test_a_cookie_is_for_tls_alone_if_the_browser_or_its_proxy_uses_that(
    pages: Served, origin: str, headers: dict[str, str], is_secure: bool
):
    said = {"origin": origin, "host": "gateway.example", **headers}
    cookie = (login(pages, TOKEN, **said).getheader("set-cookie") or "").lower()
    assert ("secure" in cookie) == is_secure
    assert "max-age=86400" in cookie


def test_old_sessions_end_when_there_are_many(pages: Served):
    first = (login(pages, TOKEN).getheader("set-cookie") or "").split(";")[0]
    for _ in range(sessions.MOST_SESSIONS):
        login(pages, TOKEN)
    assert ask(pages, "/api/view/forwards", cookie=first).status == 401


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "10.0.0.1"],
)
def test_a_name_that_is_not_ours_is_refused(pages: Served, host: str):
    assert ask(pages, "/", host=host, **BEARER).status in (400, 421)
    assert ask(pages, "/", host="gateway.example:8470", **BEARER).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/api/view/flows", "/api/events"])
def test_a_request_that_another_page_makes_is_refused(
    pages: Served, path: str, headers: dict[str, str]
):
    assert ask(pages, path, **headers, **BEARER).status == 403


@pytest.mark.parametrize("path", ["/api/view/flows", "/api/events"])
def test_a_question_without_fetch_metadata_by_a_name_without_tls_has_our_header(
    pages: Served, path: str
):
    """There, browsers do not tell which page asks."""
    cookie = (login(pages, TOKEN).getheader("set-cookie") or "").split(";")[0]
    said = {"cookie": cookie, "host": "gateway.example"}
    assert ask(pages, path, **said).status == 403
    assert ask(pages, path, x_requested_with="XMLHttpRequest", **said).status == 403
    assert ask(pages, path, x_requested_with="ipmasq", **said).status == 200
    assert ask(pages, path, sec_fetch_site="same-origin", **said).status == 200
    assert ask(pages, path, host="gateway.example", **BEARER).status == 200
    assert ask(pages, path, "OPTIONS", origin="http://gateway.example:1", **said).status == 403


def test_a_program_that_asks_without_a_token_is_told_that_it_needs_one(pages: Served):
    for name in ("gateway.example", "127.0.0.1"):
        answer = ask(pages, "/api/view/status", host=name)
        assert (answer.status, b"a token is needed" in answer.read()) == (401, True)


def test_a_link_on_another_page_leads_to_the_first_page_only(pages: Served):
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert ask(pages, "/", **link).status == 303
    assert ask(pages, "/api/view/flows", **link, **BEARER).status == 403


def test_another_page_can_neither_log_in_nor_change_anything(gateway: Running, pages: Served):
    cookie = (login(pages, TOKEN).getheader("set-cookie") or "").split(";")[0]
    body = json.dumps({"name": "web"}).encode()
    path = "/api/change/forward_remove"
    for origin in ({}, {"origin": "http://evil.example"}, {"origin": "null"}):
        assert ask(pages, path, "POST", body, cookie=cookie, **JSON, **origin).status == 403
        assert login(pages, TOKEN, **{"origin": "null", **origin}).status == 403
    said = {"cookie": cookie, "origin": pages.address}
    assert ask(pages, path, "POST", body, content_type="text/plain", **said).status == 415
    assert [each.name for each in gateway.engine.forwards()] == ["web"]
    assert ask(pages, path, "POST", body, **JSON, **said).status == 200
    assert gateway.engine.forwards() == ()


def test_nothing_is_changed_unless_it_is_allowed(gateway: Running):
    with served(gateway.path) as pages:
        body = json.dumps({"name": "web"}).encode()
        said = {**JSON, "origin": pages.address}
        assert ask(pages, "/api/change/forward_remove", "POST", body, **said).status == 403
        assert ask(pages, "/api/view/forward_remove?name=web").status == 404
        assert ask(pages, "/api/change/forward_remove", "GET").status == 404
    assert [each.name for each in gateway.engine.forwards()] == ["web"]


@pytest.mark.parametrize(
    "name",
    ["reload", "helper_load", "helper_unload", "helper_reload", "timeouts_set", "watch", "x"],
)
def test_only_some_changes_can_be_asked_for(pages: Served, name: str):
    assert ask(pages, f"/api/change/{name}", "POST", b"{}", **JSON, **BEARER).status == 404
    assert ask(pages, f"/api/view/{name}", **BEARER).status == 404


def test_arguments_that_are_not_listed_are_refused(pages: Served):
    assert ask(pages, "/api/view/forwards?save=1", **BEARER).status == 400
    body = json.dumps({"ports": "99", "inside": "10.0.0.2", "save": True}).encode()
    assert ask(pages, "/api/change/forward_add", "POST", body, **JSON, **BEARER).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/../../../etc/passwd",
        "/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/app.py",
        "/vendor/../app.py",
        "/vendor/..%5capp.py",
        "//etc/passwd",
        "/app.py",
        "/pages/app.js",
        "/vendor/",
        "/app.js%00.css",
        "/\x7f",
    ],
)
def test_no_path_leads_to_another_file(pages: Served, path: str):
    with socket.create_connection(("127.0.0.1", pages.port), 30) as link:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        link.sendall(head.encode("latin-1"))
        status = int(link.makefile("rb").readline().split()[1])
    assert status in (400, 404)


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"[" * 9000, b"1", b""])
def test_a_change_that_is_no_object_is_refused(pages: Served, body: bytes):
    answer = ask(pages, "/api/change/close", "POST", body, **JSON, **BEARER)
    assert answer.status == 400


@pytest.mark.parametrize(
    "flow", ["NaN", "Infinity", "1e999", "[" * 900 + "]" * 900, '"\\ud800"', "9" * 6000]
)
def test_values_that_the_gateway_cannot_read_are_the_mistake_of_who_sends_them(
    pages: Served, flow: str
):
    body = f'{{"flow": {flow}}}'.encode()
    assert ask(pages, "/api/change/close", "POST", body, **BEARER, **JSON).status == 400


def test_a_request_with_two_lengths_is_the_last_of_its_connection(pages: Served):
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
    both = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
    next_ = f"GET /api/view/status HTTP/1.1\r\n{head}\r\n"
    with socket.create_connection(("127.0.0.1", pages.port), 30) as link:
        link.sendall(f"POST /login HTTP/1.1\r\n{head}{both}\r\n0\r\n\r\n{next_}".encode())
        said = link.makefile("rb").read()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1


def test_a_body_that_is_too_large_is_refused_however_it_comes(pages: Served):
    large = b'{"flow": ' + b" " * guard.LARGEST_BODY + b"1}"
    said = {**JSON, **BEARER}
    assert ask(pages, "/api/change/close", "POST", large, **said).status == 413
    with socket.create_connection(("127.0.0.1", pages.port), 30) as link:
        head = f"POST /api/change/close HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        link.sendall(head.encode())
        link.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(large), large))
        assert b"413" in link.makefile("rb").readline()


def test_a_head_that_is_too_large_is_refused(pages: Served):
    assert ask(pages, "/" + "x" * 100_000).status in (400, 414, 431)
    assert ask(pages, "/", x="y" * 100_000).status in (400, 431)
    assert ask(pages, "/login").status == 200


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 9\r\n\r\ntok",
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_who_does_not_finish_a_request_is_disconnected(
    gateway: Running, said: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(serving, "REQUEST_TIME", 0.3)
    with served(gateway.path, token=TOKEN) as pages:
        with socket.create_connection(("127.0.0.1", pages.port), 30) as link:
            link.sendall(said)
            while link.recv(4096):
                pass
        assert ask(pages, "/login").status == 200


def test_a_browser_that_reads_nothing_is_disconnected(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(serving, "UNREAD", 0.3)
    with served(gateway.path) as pages, socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(30)
        link.connect(("127.0.0.1", pages.port))
        link.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        deadline = time.monotonic() + 60
        while not is_closed(pages, link):
            assert time.monotonic() < deadline
            gateway.do(lambda: gateway.control.observe(many(gateway)))
        assert ask(pages, "/api/view/forwards").status == 200


def many(gateway: Running) -> list[HelperBound]:
    """Return events of a megabyte or so."""
    now = gateway.loop.clock()
    return [HelperBound(now, 1, "x" * 1200, 21, "destination port") for _ in range(800)]


def is_closed(pages: Served, link: socket.socket) -> bool:
    """Return whether the server has closed its end, as the kernel's table has it."""
    port = f"{link.getsockname()[1]:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    states = [line.split()[3] for line in lines if line.split()[2].endswith(f":{port}")]
    return "01" not in states


def test_so_many_streams_and_no_more(gateway: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "MOST_STREAMS", 3)
    with served(gateway.path) as pages:
        streams = [ask(pages, "/api/events") for _ in range(3)]
        assert [stream.status for stream in streams] == [200] * 3
        assert ask(pages, "/api/events").status == 503
        assert ask(pages, "/api/view/forwards").status == 200


def test_a_session_has_a_share_of_the_streams_and_a_question_for_headers_none(
    pages: Served, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(events, "MOST_PER_SESSION", 2)
    one, two = ((login(pages, TOKEN).getheader("set-cookie") or "").split(";")[0] for _ in "12")
    for _ in range(5):
        assert ask(pages, "/api/events", "HEAD", cookie=one).status == 200
    streams = [ask(pages, "/api/events", cookie=one) for _ in range(3)]
    assert [stream.status for stream in streams] == [200, 200, 503]
    assert ask(pages, "/api/events", cookie=two).status == 200


def test_every_answer_forbids_scripts_frames_and_other_origins(pages: Served):
    for path in ("/", "/login", "/app.js", "/nothing", "/api/view/forwards"):
        answer = ask(pages, path)
        policy = answer.getheader("content-security-policy") or ""
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.getheader("x-content-type-options") == "nosniff"
        assert answer.getheader("cross-origin-resource-policy") == "same-origin"
        assert answer.getheader("access-control-allow-origin") is None
        assert answer.getheader("server") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="to be another user one must be root")
def test_the_user_of_the_web_process_reaches_the_socket_for_views_alone(tmp_path: Path):
    for each in (tmp_path, *tmp_path.parents):
        if each.is_relative_to("/tmp") and each != Path("/tmp"):
            each.chmod(0o755)
    paths = tmp_path / "control.sock", tmp_path / "view.sock"
    with running(paths[0], viewing=paths[1]):
        os.chown(paths[1], -1, 54321)
        paths[1].chmod(0o660)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(54321)
                os.setuid(54322)
                code = _tried(*paths)
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _tried(control: Path, view: Path) -> int:
    """Return 0 if the one is out of reach and the other answers."""
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(str(control))
            return 2
        except PermissionError:
            pass
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(str(view))
        link.sendall(b'{"ipmasq": 1, "request": "reload"}\n')
        return 0 if b'"forbidden"' in link.recv(4096) else 3
