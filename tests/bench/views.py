"""What views show how soon, and what they cost packets: `ipmasq web` with a browser, `ipmasq top`, and a scraper."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

from ipmasq.core.events import Event, FlowClosed, Rewritten
from ipmasq.core.helper import Speaker
from ipmasq.core.reasons import Reason
from tests.background import in_background
from tests.bench.figures import Figure, bench
from tests.bench.scraped import ADDRESS, LINES, METRICS, PORT, WITH_METRICS, _lines, _p99
from tests.bench.topology import OUTSIDE, network
from tests.bench.ways import ipmasq
from tests.control.running import Running, conversation, running

WEB = "127.0.0.1:8470"
EVENTS_PER_SECOND = 10_000
MILLION = 1_000_000

PROGRAM = str(Path(sys.executable).with_name("ipmasq"))
TERMINAL = {**os.environ, "TERM": "xterm-256color"}

PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SHOWN = """(what) => new Promise((done) => {
    const look = () => { if (document.querySelector(what)) done(performance.now()); };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
    look();
})"""
ARRIVED = """(text) => new Promise((done) => {
    const look = () => { if (document.querySelector('main').textContent.includes(text)) done(Date.now()); };
    new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
    look();
})"""


LATE = """() => new Promise((done) => requestAnimationFrame(() => {
    const said = [...document.querySelector('main').textContent.matchAll(/t(\\d{13})t/g)];
    done(Date.now() - Math.max(0, ...said.map((each) => Number(each[1]))));
}))"""
"""Milliseconds since the latest rewrite that the page shows (`_rewritten`)."""

LOOKS = 20


@bench("views.browser")
def browser(runs: int) -> Iterator[Figure]:
    """The overview in a new window of Chromium, and a rewrite on the page, while so many flows open and close per second."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import CHROMIUM, FLAGS
    from tests.front.web.serving import served

    painted, shown, arrived, late = [], [], [], []
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
            shown.append(page.evaluate(SHOWN, ".cards dd") / 1000)
            painted.append(page.evaluate(PAINTED) / 1000)
            page.goto(f"{pages.address}/#helpers")
            with _flood(gateway, _ended):
                time.sleep(1)
                text = f"ask {number}"
                page.evaluate("(text) => { window.arrived = (" + ARRIVED + ")(text); }", text)
                began = time.time()
                flow = conversation(gateway, [text.encode() + b"\r\n"])
                arrived.append(page.evaluate("window.arrived") / 1000 - began)
            gateway.do(lambda flow=flow: gateway.gateway.close(flow))
            with _flood(gateway, _rewritten):
                time.sleep(1)
                late += [page.evaluate(LATE) / 1000 for _ in range(LOOKS)]
            page.context.close()
    yield Figure("views.first_paint_s", "s to the first paint of the overview", painted)
    yield Figure("views.overview_s", "s to its first numbers", shown)
    yield Figure("views.event_s", "s from a rewrite to the page, beside flows that end", arrived)
    yield Figure("views.event.shown_s", "s since the latest rewrite on the page, of as many", late)


@bench("views.million")
def million(runs: int) -> Iterator[Figure]:
    """The page of flows, and the terminal's list of them, while there are so many that rounds through them never end."""
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import CHROMIUM, FLAGS

    listed, top = [], []
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "control.sock")
        stack.enter_context(
            _running(sys.executable, "-m", "tests.bench.crowd", str(path), str(MILLION))
        )
        stack.enter_context(_running(PROGRAM, "web", "--listen", WEB, "--socket", str(path)))
        playwright = stack.enter_context(sync_playwright())
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        stack.callback(chromium.close)
        for _ in range(runs):
            page = chromium.new_context().new_page()
            page.goto(f"http://{WEB}/#flows")
            listed.append(page.evaluate(SHOWN, "tbody tr td") / 1000)
            page.context.close()
            top.append(_top(path))
    yield Figure("views.million.flows_s", f"s to a page of flows, {MILLION:,} live", listed)
    yield Figure("views.million.top_s", "s from the start of ipmasq top to its list", top)


@contextmanager
def _running(*command: str) -> Iterator[None]:
    """While this program runs; it has begun when it says a line."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline(), "it does not run"
            yield
        finally:
            process.terminate()


def _top(path: Path) -> float:
    """Seconds from the start of `ipmasq top` to the first inside host on a terminal of 80 by 24."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    began = time.monotonic()
    command = [PROGRAM, "top", "--socket", str(path)]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=TERMINAL) as process:
        os.close(its)
        said = b""
        while b"10.0.1." not in said:
            said += os.read(ours, 65536)
        taken = time.monotonic() - began
        os.write(ours, b"q")
        while process.poll() is None:
            with suppress(OSError):
                os.read(ours, 65536)  # it waits until all is read
        os.close(ours)
    return taken


@contextmanager
def _flood(gateway: Running, make: Callable[[float], Event]) -> Iterator[None]:
    """Tell the control interface of so many of these events per second."""

    def observe(over: threading.Event) -> None:
        while not over.is_set():
            due = time.monotonic() + 100 / EVENTS_PER_SECOND
            some = [make(gateway.loop.clock())] * 100
            gateway.do(lambda some=some: gateway.control.observe(some))
            time.sleep(max(0.0, due - time.monotonic()))

    with in_background(observe):
        yield


def _ended(now: float) -> Event:
    """An event that pages are not told of."""
    return FlowClosed(now, 1, Reason.IDLE, 0, 0, 0, 0)


def _rewritten(now: float) -> Event:
    """An event that pages show, with the time of day in it."""
    some = b"t%dt" % (time.time() * 1000)
    return Rewritten(now, 1, "finger", Speaker.CLIENT, 0, some, some)


@bench("views.packets")
def packets(runs: int) -> Iterator[Figure]:
    """A line of a control connection and its answer, with web, top and a scraper, and in turn without."""
    server = (sys.executable, "-m", "tests.bench.echo", "ftp", OUTSIDE, PORT)
    client = (sys.executable, "-m", "tests.bench.ask", "ftp", OUTSIDE, PORT, LINES)
    off, on = [], []
    with network() as wires, wires.running("out", *server, ready="ready"):
        for _ in range(runs):
            with ipmasq(wires, more=WITH_METRICS) as socket, ExitStack() as stack:
                off.append(_lines(wires.run("in", *client)))
                views = (
                    (PROGRAM, "web", "--listen", WEB, "--socket", str(socket)),
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
