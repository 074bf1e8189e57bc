"""What views show how soon, and what they cost packets: `ipmasq web` with a browser, `ipmasq top`, and a scraper."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from ipmasq.core.events import Event, FlowClosed
from ipmasq.core.reasons import Reason
from tests.bench.figures import Figure, bench
from tests.bench.scraped import ADDRESS, LINES, METRICS, PORT, WITH_METRICS, _lines, _p99
from tests.bench.topology import OUTSIDE, network
from tests.bench.ways import ipmasq
from tests.control.running import Running, conversation, running

WEB = "127.0.0.1:8470"
EVENTS_PER_SECOND = 10_000

PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SHOWN = """() => new Promise((done) => {
    const look = () => { if (document.querySelector('.cards dd')) done(performance.now()); };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
    look();
})"""
ARRIVED = """(text) => new Promise((done) => {
    const look = () => { if (document.querySelector('main').textContent.includes(text)) done(Date.now()); };
    new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
    look();
})"""


@bench("views.browser")
def browser(runs: int) -> Iterator[Figure]:
    """The overview in a new window of Chromium, and a rewrite on the page, while so many flows open and close per second."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import CHROMIUM, FLAGS
    from tests.front.web.serving import served

    painted, shown, arrived = [], [], []
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory())
        gateway = stack.enter_context(running(Path(made, "control.sock")))
        pages = stack.enter_context(served(gateway.path))
        playwright = stack.enter_context(sync_playwright())
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        stack.callback(chromium.close)
        time.sleep(3)  # until the process has summaries, as it does when it is a service
        for number in range(runs):
            page = chromium.new_context().new_page()
            page.goto(pages.address)
            shown.append(page.evaluate(SHOWN) / 1000)
            painted.append(page.evaluate(PAINTED) / 1000)
            page.goto(f"{pages.address}/#helpers")
            with _flood(gateway):
                time.sleep(1)
                text = f"ask {number}"
                page.evaluate("(text) => { window.arrived = (" + ARRIVED + ")(text); }", text)
                began = time.time()
                flow = conversation(gateway, [text.encode() + b"\r\n"])
                arrived.append(page.evaluate("window.arrived") / 1000 - began)
            gateway.do(lambda flow=flow: gateway.gateway.close(flow))
            page.context.close()
    yield Figure("views.first_paint_s", "s to the first paint of the overview", painted)
    yield Figure("views.overview_s", "s to its first numbers", shown)
    yield Figure("views.event_s", "s from a rewrite to the page", arrived)


@contextmanager
def _flood(gateway: Running) -> Iterator[None]:
    """Tell the control interface of so many flows that end."""
    over = threading.Event()

    def tell() -> None:
        now = gateway.loop.clock()
        told: list[Event] = [FlowClosed(now, 1, Reason.IDLE, 0, 0, 0, 0)] * 100
        while not over.is_set():
            due = time.monotonic() + 100 / EVENTS_PER_SECOND
            gateway.do(lambda: gateway.control.tell(told))
            time.sleep(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@bench("views.packets")
def packets(runs: int) -> Iterator[Figure]:
    """A line of a control connection and its answer, with web, top and a scraper, and in turn without."""
    program = str(Path(sys.executable).with_name("ipmasq"))
    server = (sys.executable, "-m", "tests.bench.echo", "ftp", OUTSIDE, PORT)
    client = (sys.executable, "-m", "tests.bench.ask", "ftp", OUTSIDE, PORT, LINES)
    off, on = [], []
    with network() as wires, wires.running("out", *server, ready="ready"):
        for _ in range(runs):
            with ipmasq(wires, more=WITH_METRICS) as socket, ExitStack() as stack:
                off.append(_lines(wires.run("in", *client)))
                views = (
                    (program, "web", "--listen", WEB, "--socket", str(socket)),
                    (sys.executable, "-m", "tests.bench.viewer", WEB, str(socket)),
                    (sys.executable, "-m", "tests.bench.scrape", ADDRESS, METRICS, "1"),
                )
                for view, ready in zip(views, ("The pages are at", "ready", "ready"), strict=True):
                    stack.enter_context(wires.running("gw", *view, ready=ready))
                on.append(_lines(wires.run("in", *client)))
    unit = "ms/line and answer"
    none = Figure("views.off.line_ms", unit, [median(each) for each in off])
    yield none
    yield Figure("views.on.line_ms", unit, [median(each) for each in on], none.name)
    unit += " at p99"
    none = Figure("views.off.line_p99_ms", unit, [_p99(each) for each in off])
    yield none
    yield Figure("views.on.line_p99_ms", unit, [_p99(each) for each in on], none.name)
