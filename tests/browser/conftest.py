"""Real Chromium, from Debian's package. Every page that a test opens must leave its console empty and ask the network for
nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.front.web.serving import TOKEN

# A busy machine takes its time; what a test waits for, it waits for as long as this.
expect.set_options(timeout=30_000)

CHROMIUM = "/usr/bin/chromium"
NAME = "gateway.example"
"""A name of this machine that browsers do not know as such."""

# Without these it looks up hosts of its vendor as it starts. As root it has no sandbox.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
]

Open: TypeAlias = Callable[..., Page]
Visit: TypeAlias = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Playwright's event loop runs in this thread as long as it lives. It ends with the module, since tests of other
    modules in the same process have event loops of their own (pyroute2)."""
    if shutil.which(CHROMIUM) is None:
        pytest.fail(f"{CHROMIUM} is missing: make setup")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open a file in a window of its own: `open_page(path, color_scheme="dark", java_script_enabled=False)`."""
    complaints: list[str] = []
    requests: list[str] = []

    def console(message: ConsoleMessage) -> None:
        complaints.append(message.text)

    def failed(error: Error) -> None:
        complaints.append(str(error))

    def asked(request: Request) -> None:
        requests.append(request.url)

    def open_(path: Path, **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        page = context.new_page()
        page.on("console", console)
        page.on("pageerror", failed)
        page.on("request", asked)
        page.goto(path.as_uri())
        return page

    yield open_
    for context in browser.contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("file:")] == []


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a page: `visit(address, color_scheme="dark")`. Nothing may be wrong in it, and nothing asked elsewhere."""
    complaints: list[str] = []
    requests: list[str] = []
    homes: list[str] = []

    def visit(address: str, **options: object) -> Page:
        page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        homes.append("/".join(address.split("/")[:3]) + "/")
        page.goto(address)
        return page

    yield visit
    for context in browser.contexts:
        context.close()
    assert [url for url in requests if not url.startswith(tuple(homes))] == []
    # A refused request is shown in the console; tests that provoke one look at the page.
    assert [text for text in complaints if "Failed to load resource" not in text] == []


def enter(page: Page, token: str = TOKEN) -> None:
    """Give the token, and wait for the pages."""
    give(page, token)
    expect(page.locator("header")).to_be_visible()


def give(page: Page, token: str) -> None:
    field = page.get_by_label("Token")
    # Chromium complains if a field is focused before it has focused the one that asks for it.
    expect(field).to_be_focused()
    field.fill(token)
    page.keyboard.press("Enter")


def violations(page: Page) -> list[str]:
    """Return what axe-core finds that keeps people from using the page."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {[node['html'][:200] for node in each['nodes'][:3]]}" for each in found]
