"""What browsers do with the pages: many tabs, sessions and their end, names without TLS, pages of other ports."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ipmasq.core.events import Refused
from ipmasq.core.speaker import Speaker
from ipmasq.front.web import events
from ipmasq.front.web.feed import HAPPENED_SIZE
from tests.browser.conftest import NAME, Visit, enter
from tests.control.running import Running, conversation, running
from tests.front.web.asking import ask
from tests.front.web.serving import TOKEN, Served, served

pytestmark = pytest.mark.browser

ASK = "fetch('/api/view/forwards').then(answer => answer.status)"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "control.sock") as gateway:
        yield gateway


@pytest.fixture
def pages(gateway: Running) -> Iterator[Served]:
    with served(gateway.path) as pages:
        yield pages


def state(page: Page):
    return page.locator("header .state")


def test_an_address_that_names_no_page_is_that_of_the_overview(pages: Served, visit: Visit):
    page = visit(f"{pages.address}/#constructor")
    for name in ("constructor", "toString", "__proto__", "hasOwnProperty/x", "x"):
        page.goto(f"{pages.address}/#flows")
        expect(page.locator("h1")).to_have_text("Flows")
        page.goto(f"{pages.address}/#{name}")
        expect(page.locator("h1")).to_have_text("Overview")


def test_all_pages_of_a_browser_have_one_stream(
    gateway: Running, pages: Served, visit: Visit, monkeypatch: pytest.MonkeyPatch
):
    """Over HTTP/1.1 a browser has six connections to a host."""
    monkeypatch.setattr(events, "MOST_STREAMS", 1)
    first = visit(f"{pages.address}/#helpers")
    conversation(gateway, [b"ask one\r\n"])
    expect(first.locator(".before")).to_contain_text("ask one")
    for _ in range(7):
        page = first.context.new_page()
        page.goto(f"{pages.address}/#helpers")
        expect(state(page)).to_have_text("live")
        expect(page.locator(".before")).to_contain_text("ask one")
    assert first.evaluate(ASK) == 200


def test_without_shared_workers_a_hidden_page_gives_its_stream_up_and_resumes_it(
    gateway: Running, pages: Served, visit: Visit, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(events, "MOST_STREAMS", 1)
    page = visit(f"{pages.address}/style.css")
    page.add_init_script("delete window.SharedWorker")
    page.goto(f"{pages.address}/#helpers")
    conversation(gateway, [b"ask one\r\n"])
    expect(page.locator(".before")).to_have_count(1)
    turn = "hidden => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden }); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(turn, True)
    while (other := ask(pages, "/api/events")).status == 503:
        page.wait_for_timeout(20)
    other.close()
    number = max(gateway.engine.table.flows)
    gateway.do(lambda: gateway.gateway.close(number))
    conversation(gateway, [b"ask two\r\n"])
    page.evaluate(turn, False)
    expect(page.locator(".before")).to_have_count(2)
    expect(page.locator(".before").first).to_contain_text("ask two")


def test_a_session_ends_in_all_pages_and_in_no_other_gateways(gateway: Running, visit: Visit):
    with served(gateway.path, token=TOKEN) as one, served(gateway.path, token=TOKEN) as two:
        page = visit(one.address)
        enter(page)
        other = page.context.new_page()
        other.goto(two.address)
        enter(other)
        assert page.evaluate(ASK) == 200
        second = page.context.new_page()
        second.goto(f"{one.address}/")
        expect(state(second)).to_have_text("live")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_focused()
        expect(second.get_by_label("Token")).to_be_visible()
        assert other.evaluate(ASK) == 200
        assert len(page.context.cookies()) == 1


class Elsewhere(BaseHTTPRequestHandler):
    """A server at another port of the same host."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href=data:>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


REACH = """address => Promise.all(['view/doctor', 'view/flows', 'events'].map(
  (path) => fetch(`${address}/api/${path}`, { mode: 'no-cors', credentials: 'include' }).catch(() => {})))"""


def hear(page: Page, true: Callable[[], bool]) -> None:
    """Take what the browser reports, which may come after what it reports on, until a condition is true."""
    for _ in range(200):
        if true():
            return
        page.wait_for_timeout(50)


def test_a_page_of_another_port_has_nothing_done_by_a_name_without_tls(
    gateway: Running, browser: Browser, elsewhere: int
):
    """Browsers send no Fetch Metadata there, and cookies have no ports."""
    with served(gateway.path, token=TOKEN) as pages, browser.new_context() as context:
        address = f"http://{NAME}:{pages.port}"
        page = context.new_page()
        page.goto(address)
        enter(page)
        expect(state(page)).to_have_text("live")
        page.goto(f"{address}/#forwards")
        expect(page.locator("tbody tr")).to_have_count(1)
        other = context.new_page()
        other.goto(f"http://{NAME}:{elsewhere}/")
        wire = context.new_cdp_session(other)
        answers: list[int] = []
        asked: list[dict[str, str]] = []
        wire.on("Network.responseReceivedExtraInfo", lambda it: answers.append(it["statusCode"]))
        wire.on("Network.requestWillBeSentExtraInfo", lambda it: asked.append(it["headers"]))
        wire.send("Network.enable")
        other.evaluate(REACH, address)
        hear(other, lambda: len(answers) == len(asked) == 3)
        assert answers == [403] * 3
        assert not any("Sec-Fetch-Site" in headers for headers in asked)
        assert all("ipmasq" in headers["Cookie"] for headers in asked)


LINES = [f"{number} {'x' * 15_000}\r\n".encode() for number in range(100)]
OF_A_NEW_PAGE = """() => new Promise(done => {
  const worker = new SharedWorker("/worker.js", { type: "module", name: "ipmasq" });
  worker.port.onmessage = ({ data }) => { if (data.messages) done(data.messages.map(each => each.data)); };
})"""
"""What the worker tells a page that is opened now."""


def test_the_worker_keeps_the_latest_messages_and_few_that_are_long(
    gateway: Running, pages: Served, visit: Visit
):
    page = visit(f"{pages.address}/#helpers")
    for line in LINES:
        event = Refused(0.0, 1, "ftp", Speaker.CLIENT, "no", line)
        gateway.do(lambda event=event: gateway.control.observe([event]))
    expect(page.locator(".events .bad").first).to_contain_text("99 xxx")
    kept = page.evaluate(OF_A_NEW_PAGE)
    assert sum(map(len, kept)) < 1.2 * HAPPENED_SIZE
    lines = [json.loads(each).get("line", "").split(" ")[0] for each in kept]
    assert "99" in lines
    assert "0" not in lines
    assert page.locator(".events li").count() == sum('"line"' in each for each in kept)
