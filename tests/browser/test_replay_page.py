"""The page of `ipmasq replay --html` in a browser: seen, read aloud, filtered, and harmless."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from ipmasq.replay.html import render
from tests.browser.conftest import Open, violations
from tests.replay.cases import CASES, hostile, steps
from tests.replay.tape import CLIENT as INSIDE
from tests.replay.tape import SERVER, Tape, active_ftp

pytestmark = pytest.mark.browser


def with_a_drop() -> Tape:
    """An active transfer, then a packet to an inside address that no rule passes."""
    from scapy.all import IP, UDP

    tape = active_ftp()
    tape.add(IP(src=SERVER, dst=INSIDE) / UDP(sport=9, dport=9))
    return tape


@pytest.fixture
def page_of(tmp_path: Path):
    def write(tape: Tape, *policy) -> Path:
        path = tmp_path / "page.html"
        text = render(steps(tape, *policy), "a capture", {"packets": "30"})
        path.write_text(text, encoding="utf-8")
        return path

    return write


def shown(page: Page) -> int:
    return page.locator("tbody tr:visible").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_keeps_anybody_from_reading_the_page(
    open_page: Open, page_of, scheme: str, width: int
):
    page = open_page(
        page_of(with_a_drop()), color_scheme=scheme, viewport={"width": width, "height": 800}
    )
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("case", CASES)
def test_each_case_is_a_page_whose_announcement_leads_to_its_connection(
    open_page: Open, page_of, case: str
):
    page = open_page(page_of(*CASES[case]))
    announced = page.locator("tr", has_text="The announced connection was opened in")
    announced.get_by_role("link").last.click()
    target = page.locator("tr:target")
    assert "Data connection opened" in target.inner_text()
    assert violations(page) == []


def test_on_a_telephone_a_step_has_the_whole_width(open_page: Open, page_of):
    page = open_page(page_of(active_ftp()), viewport={"width": 390, "height": 800})
    for part in (".picture", ".what"):
        box = page.locator(f"#step-4 {part}").bounding_box()
        assert box
        assert box["width"] > 340
    assert page.get_by_text("Inside host", exact=True).is_visible()


def test_the_arrows_point_from_the_speaker_to_the_listener(open_page: Open, page_of):
    page = open_page(page_of(active_ftp()))
    row = page.locator("tr", has_text="220 ready")
    assert row.locator(".arrow.in").is_visible()
    assert page.locator("tr", has_text="RETR file").locator(".arrow.out").is_visible()
    before = page.locator("tr", has_text="PORT").locator("del").bounding_box()
    after = page.locator("tr", has_text="PORT").locator("ins").bounding_box()
    assert before
    assert after
    assert before["x"] < after["x"]


def test_steps_are_hidden_by_kind_and_by_conversation_with_the_keyboard(open_page: Open, page_of):
    page = open_page(page_of(with_a_drop()))
    everything = shown(page)
    assert page.get_by_role("status").inner_text() == (
        f"{everything} of {everything} steps are shown"
    )
    page.get_by_label("Dropped packets").focus()
    page.keyboard.press("Space")
    assert shown(page) == everything - 1
    page.get_by_label("Conversation").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("tbody tr:visible", has_text="Data connection opened").count() == 1
    page.get_by_label("Lines that passed unchanged").focus()
    page.keyboard.press("Space")
    assert page.get_by_text("220 ready").is_hidden()
    assert page.locator("ins").is_visible()


def test_a_link_to_a_hidden_step_shows_it(open_page: Open, page_of):
    page = open_page(page_of(active_ftp()))
    page.get_by_label("Lines that passed unchanged").uncheck()
    row = page.locator("tr", has_text="220 ready")
    page.evaluate(f"location.hash = '{row.get_attribute('id')}'")
    row.wait_for(state="visible")


def test_the_first_key_offers_the_way_to_the_steps(open_page: Open, page_of):
    page = open_page(page_of(active_ftp()))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the steps"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#steps"


def test_without_script_every_step_is_there(open_page: Open, page_of):
    page = open_page(page_of(active_ftp()), java_script_enabled=False)
    assert shown(page) == len(steps(active_ftp()).steps)
    assert page.locator("#filters").is_hidden()


def test_a_hostile_capture_is_shown_and_does_nothing(open_page: Open, page_of):
    page = open_page(page_of(hostile()))
    assert page.title() == "a capture"
    assert page.get_by_text("USER <script>document.title='owned'</script>").count() == 1
    assert page.locator("img, base, script[src]").count() == 0
    assert shown(page) == len(steps(hostile()).steps)
    assert violations(page) == []
