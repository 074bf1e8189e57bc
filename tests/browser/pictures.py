"""Write the pictures of the documentation: `python -m tests.browser.pictures docs`. They show a real engine with the FTP helper,
whose packets are made here, and the pages as Chromium draws them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from playwright.sync_api import sync_playwright

from ipmasq.core.side import Side
from ipmasq.front.top.app import Top
from ipmasq.front.upstream import Upstream
from ipmasq.wire.addresses import to_address
from tests.background import in_background
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.conformance import packets
from tests.control.ftp_session import WITH_FTP, answer, session
from tests.control.running import E1, IN1, IN2, OUT1, Running, running
from tests.front.web.serving import served

SIZE = {"width": 1100, "height": 760}
WAIT = 25_000
"""Milliseconds until the plots have something to show."""

SERVER = to_address("198.51.100.7")


@contextmanager
def traffic(gateway: Running) -> Iterator[None]:
    """Keep some flows busy, and have some packets dropped."""
    chance = Random(3)
    servers = [to_address(f"198.51.100.{number}") for number in (20, 21, 33, 80)]

    def run(over: threading.Event) -> None:
        while not over.wait(0.05):
            for number, server in enumerate(servers):
                for host in (IN1, IN2):
                    size = chance.randrange(200, 1400) // (number + 1)
                    sent = gateway.send(packets.udp(host, 5000 + number, server, 443, bytes(size)))
                    back = packets.read(sent).source.port
                    answer = packets.udp(server, 443, E1, back, bytes(2 * size % 1400))
                    gateway.send(answer, Side.OUTSIDE)
            if chance.random() < 0.3:
                source = chance.randrange(10_000, 60_000)
                gateway.send(packets.udp(IN2, source, OUT1, 53, bytes(40)))
                gateway.send(packets.udp(OUT1, 53, E1, source, bytes(9)), Side.OUTSIDE)  # dropped

    with in_background(run):
        yield


def browser(path: str, directory: Path) -> None:
    with served(path) as pages, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = chromium.new_context(viewport=SIZE, color_scheme="light").new_page()  # type: ignore[arg-type]
        page.goto(pages.address)
        page.wait_for_timeout(WAIT)
        page.screenshot(path=directory / "web-overview.png")
        for name in ("network", "helpers"):
            page.goto(f"{pages.address}/#{name}")
            page.wait_for_timeout(2500)
            page.screenshot(
                path=directory / f"web-{name}.png",
                clip={"x": 0, "y": 0, "width": 1100, "height": 520},
            )
        chromium.close()


async def terminal(path: str, directory: Path) -> None:
    app = Top(Upstream(path))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(12)
        (directory / "top.svg").write_text(app.export_screenshot(title="ipmasq top"), "utf-8")


def main() -> None:
    directory = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as made, running(Path(made) / "control.sock") as gateway:
        gateway.do(lambda: gateway.engine.apply(WITH_FTP, gateway.loop.clock()))
        session(gateway, IN1, OUT1, b"PORT 10,0,0,2,128,255\r\n")
        answer(gateway, session(gateway, IN2, SERVER, b"PORT 10,0,0,3,160,12\r\n"))
        with traffic(gateway):
            browser(gateway.path, directory)
            asyncio.run(terminal(gateway.path, directory))


if __name__ == "__main__":
    main()
