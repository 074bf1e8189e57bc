"""The pages of `ipmasq web` in real Chromium, beside a real engine and its control socket."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ipmasq.gateway.firewall.finding import Finding
from tests.browser.conftest import Visit, enter, give, violations
from tests.conformance import packets
from tests.control.running import IN1, IN2, OUT1, Running, conversation, running
from tests.front.web.serving import TOKEN, Served, served
from tests.replay.tape import active_ftp

pytestmark = pytest.mark.browser

PAGES = (
    "overview",
    "flows",
    "hosts",
    "helpers",
    "forwards",
    "network",
    "health",
    "explain",
    "replay",
)
CAPTURE = active_ftp().buffer.getvalue()

FINDINGS = [
    {
        "subject": "firewall",
        "what": "a rule drops <b>everything</b>",
        "effect": "nothing passes",
        "fix": "nft delete rule",
        "commands": ["nft delete rule inet filter forward handle 7", "nft list ruleset"],
        "safe": False,
        "hint": False,
    },
    {
        "subject": "DNS",
        "what": "no name leads back",
        "effect": "some servers are slow",
        "fix": "correct the PTR record",
        "commands": [],
        "safe": False,
        "hint": True,
    },
    {"left_out": "the far side of the moon"},
]


def doctor(findings: list[dict[str, object]]) -> list[str]:
    """Return a command that finds this."""
    return [sys.executable, "-c", f"print({json.dumps(json.dumps(findings))})"]


SIZES = {"desk": {"width": 1200, "height": 900}, "telephone": {"width": 360, "height": 780}}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "control.sock", doctor=doctor(FINDINGS)) as gateway:
        yield gateway


@pytest.fixture
def pages(gateway: Running) -> Iterator[Served]:
    with served(gateway.path) as pages:
        yield pages


def busy(gateway: Running) -> int:
    """Let there be flows of two hosts, a session and a drop. Return the session's number."""
    gateway.open_many(20)
    gateway.send(packets.udp(IN2, 5000, OUT1, 53, bytes(900)))
    gateway.send(
        packets.udp(IN1, 5, packets.read(packets.udp(IN1, 5, OUT1, 53)).source.address, 53)
    )
    number = conversation(gateway, [b"ask one\r\n", b"refuse\r\n"])
    data = min(gateway.engine.table.flows)

    def link() -> None:
        gateway.engine.table.flows[data].master = number
        gateway.engine.table.flows[number].links = 1

    gateway.do(link)
    return number


def choose(page: Page, capture: bytes, name: str = "in.pcapng") -> None:
    """Choose a capture as with the browser's dialog."""
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": capture}
    page.get_by_label("Drop a capture").set_input_files(file)  # type: ignore[arg-type]


DROP = """bytes => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "dropped.pcapng"));
  for (const kind of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


SCROLLS_SIDEWAYS = """
[...document.querySelectorAll(".scroll")].filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)
"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_every_page(
    gateway: Running, visit: Visit, tmp_path: Path, scheme: str, size: str
):
    busy(gateway)
    with served(gateway.path, token=TOKEN, allows_changes=True) as pages:
        page = visit(f"{pages.address}/", color_scheme=scheme, viewport=SIZES[size])
        expect(page.get_by_label("Token")).to_be_focused()
        assert violations(page) == []
        enter(page)
        for name in PAGES:
            page.goto(f"{pages.address}/#{name}")
            expect(page.locator("h1")).to_have_text(name.capitalize())
            expect(page.locator("header .state")).to_have_text("live")
            if name == "health":
                expect(page.locator(".findings li")).to_have_count(2)
            if name == "replay":
                choose(page, CAPTURE)
                expect(page.get_by_text("in.pcapng was replayed.")).to_be_visible()
            page.wait_for_load_state("load")
            page.wait_for_function(
                "!document.querySelector('main table') || document.querySelector('main td')"
            )
            assert violations(page) == [], name
            assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
            assert page.evaluate(SCROLLS_SIDEWAYS) == [], name


def test_the_overview_follows_the_gateway(gateway: Running, pages: Served, visit: Visit):
    page = visit(pages.address)
    flows = page.locator(".card dd").first
    expect(flows).to_contain_text("0")
    gateway.open_many(123)
    expect(flows).to_contain_text("123")
    assert "over" not in flows.inner_text()
    gateway.do(lambda: gateway.engine.table.over.update({1: gateway.engine.table.flows[1]}))
    expect(flows).to_contain_text(", 1 over")
    assert page.locator(".plots canvas").count() == 5


def test_an_event_is_on_the_page_when_it_happens(gateway: Running, pages: Served, visit: Visit):
    page = visit(f"{pages.address}/#helpers")
    expect(page.get_by_text("No helper has done anything yet.")).to_be_visible()
    conversation(gateway, [b"ask one\r\n"])
    expect(page.locator(".before")).to_contain_text("ask one\\r\\n")
    expect(page.locator(".after")).to_contain_text("query\\x1b one\\r\\n")


def test_what_a_packet_says_is_text_and_no_markup(gateway: Running, pages: Served, visit: Visit):
    page = visit(f"{pages.address}/#helpers")
    conversation(gateway, [b"ask <img src=x onerror=alert(1)>\r\n"])
    expect(page.locator(".before")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("main img").count() == 0


def test_what_cannot_be_seen_is_shown_as_on_the_command_line(
    gateway: Running, pages: Served, visit: Visit
):
    page = visit(f"{pages.address}/#helpers")
    conversation(gateway, [b"ask a\xadb\xa0\x00\x9b31m\r\n"])
    expect(page.locator(".before")).to_contain_text("ask a\\xadb\\xa0\\x00\\x9b31m\\r\\n")
    escapes = page.evaluate(
        """async () => (await import("/shown.js")).visible("\\u202e\\u061c\\ufeff\\u{e0001}\\ud800 é")"""
    )
    assert escapes == "\\u202e\\u061c\\ufeff\\U000e0001\\ud800 é"


def test_of_a_long_line_the_beginning_and_the_end_are_shown_until_all_is_wanted(
    gateway: Running, pages: Served, visit: Visit
):
    page = visit(f"{pages.address}/#helpers")
    conversation(gateway, [b"refuse " + b"x" * 900 + b"flow 1\r\n"])
    said = page.locator(".events .bad")
    expect(said).to_contain_text(re.compile(r"^flow \d+: helper finger did not act on"))
    reason = gateway.engine.helpers()[0].refused
    expect(said).to_contain_text(next(iter(reason)))
    assert len(said.inner_text()) < 500
    page.get_by_role("button", name=re.compile("show all")).click()
    expect(said).to_contain_text("x" * 900)


ENDS = {
    name: {"address": "223.255.255.254", "port": 65535}
    for name in ("inside", "public", "remote", "remote_real")
}
LONGEST = {
    "id": 9_999_999_999,
    **ENDS,
    "protocol": "tcp",
    "state": "ESTABLISHED",
    "helper": "somebodys_helper_with_a_long_name",
    "encrypted": False,
    "rate_out": 999e6,
    "rate_in": 999e6,
    "bytes_out": 999e9,
    "bytes_in": 0,
    "age": 86400 * 365 + 3600 * 23,
    "opened_by": "outside",
    "origin": "forward",
}


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize(("name", "asked"), [("network", "helped"), ("flows", "top")])
def test_the_longest_values_fit(
    pages: Served, visit: Visit, tmp_path: Path, name: str, asked: str, width: int
):
    page = visit(pages.address, viewport={"width": width, "height": 900})
    rows = [{**LONGEST, "master": None}, {**LONGEST, "id": 1, "master": LONGEST["id"]}]
    page.route(f"**/api/view/{asked}**", lambda route: route.fulfill(json={"rows": rows}))
    page.goto(f"{pages.address}/#{name}")
    expect(page.locator("tbody tr")).to_have_count(2)
    assert page.evaluate(SCROLLS_SIDEWAYS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=os.environ.get("SHOTS", str(tmp_path)) + f"/longest-{name}-{width}.png")


def test_a_flow_opens_with_its_rule_its_rewrites_and_its_linked_flows(
    gateway: Running, pages: Served, visit: Visit
):
    number = busy(gateway)
    page = visit(f"{pages.address}/#flows")
    page.get_by_role("button", name=f"open flow {number}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Flow {number}")
    expect(dialog).to_contain_text("masquerade")
    expect(dialog).to_contain_text("finger")
    expect(dialog).to_contain_text("ask one")
    linked = min(gateway.engine.table.flows)
    dialog.get_by_role("button", name=f"flow {linked}").click()
    expect(dialog).to_contain_text(f"Flow {linked}")
    dialog.get_by_role("button", name=f"flow {number}").click()
    expect(dialog).to_contain_text(f"Flow {number}")
    assert dialog.get_by_role("button", name="Close this flow").count() == 0
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_flows_are_sorted_and_filtered(gateway: Running, pages: Served, visit: Visit):
    busy(gateway)
    page = visit(f"{pages.address}/#flows")
    page.get_by_role("button", name="bytes").click()
    expect(page.locator("tbody tr").first).to_contain_text("10.0.0.3:5000")
    page.get_by_label("Address").fill("10.0.0.3")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    # The gateway reads rates every second, but a filtered list is asked once.
    expect(page.locator("tbody td", has_text="B/s")).to_have_count(2)
    gateway.send(packets.udp(IN2, 5001, OUT1, 53, bytes(900)))
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="All").click()
    expect(page.locator("tbody tr")).to_have_count(len(gateway.engine.table.flows))


def test_what_is_typed_stays_while_the_list_behind_it_changes(
    gateway: Running, pages: Served, visit: Visit
):
    busy(gateway)
    page = visit(f"{pages.address}/#flows")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(len(gateway.engine.table.flows))
    address = page.get_by_label("Address")
    address.press_sequentially("10.0.")
    gateway.send(packets.udp(IN2, 5002, OUT1, 53, bytes(900)))
    expect(rows).to_have_count(len(gateway.engine.table.flows))
    expect(address).to_have_value("10.0.")
    address.press_sequentially("0.3")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="All").click()
    expect(address).to_have_value("")


def test_a_mistake_that_comes_and_goes_leaves_the_parts_of_a_page_in_their_order(
    gateway: Running, pages: Served, visit: Visit
):
    busy(gateway)
    page = visit(f"{pages.address}/#flows")
    page.get_by_label("Address").fill("nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("nonsense")
    page.get_by_role("button", name="All").click()
    expect(page.locator("tbody tr")).to_have_count(len(gateway.engine.table.flows))
    parts = page.locator("main > *").evaluate_all("parts => parts.map(each => each.localName)")
    assert parts == ["h1", "form", "p", "div"]


def test_the_network_is_drawn_with_control_and_data_connections(
    gateway: Running, pages: Served, visit: Visit
):
    busy(gateway)
    page = visit(f"{pages.address}/#network")
    expect(page.locator("svg.network line.control")).to_have_count(2)
    expect(page.locator("svg.network line.data")).to_have_count(2)
    expect(page.locator("tbody tr", has_text="data of")).to_contain_text("outside")
    page.locator("svg.network g.line", has=page.locator("text")).last.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    drawn = page.locator("svg.network").get_attribute("aria-label") or ""
    assert "control connection of 10.0.0.2 with 198.51.100.1" in drawn


def test_explain_is_a_form(gateway: Running, pages: Served, visit: Visit):
    page = visit(f"{pages.address}/#explain")
    page.get_by_label("Source", exact=True).fill("10.0.0.2:40000")
    page.get_by_label("Destination", exact=True).fill("198.51.100.99:79")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("main")).to_contain_text("drop to 198.51.100.99")
    page.get_by_label("Destination", exact=True).fill("198.51.100.99")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator(".bad")).to_contain_text("a port is missing")


def test_without_permission_there_is_no_form_for_changes(
    gateway: Running, pages: Served, visit: Visit
):
    page = visit(f"{pages.address}/#forwards")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.get_by_role("button").count() == 0


@pytest.mark.parametrize("size", SIZES)
def test_a_forward_is_added_and_removed_and_a_flow_closed_after_a_confirmation(
    gateway: Running, visit: Visit, size: str
):
    flow = gateway.open_udp()
    gateway.gateway.warnings = ("10.0.0.3 is far away",)
    with served(gateway.path, token=TOKEN, allows_changes=True) as pages:
        page = visit(pages.address, viewport=SIZES[size])
        enter(page)
        page.goto(f"{pages.address}/#forwards")
        page.get_by_label("Public port or range").fill("2121")
        page.get_by_label("Inside address").fill("10.0.0.3")
        page.get_by_label("Name").fill("ftp")
        page.get_by_role("button", name="Publish").click()
        expect(page.locator("tbody tr")).to_have_count(2)
        expect(page.get_by_text("Warning: 10.0.0.3 is far away.")).to_be_visible()
        for label in ("Public port or range", "Inside address", "Name"):
            expect(page.get_by_label(label)).to_have_value("")
        remove = page.get_by_role("button", name="remove forward ftp")
        expect(remove).to_be_in_viewport(ratio=1)
        remove.click()
        assert len(gateway.engine.forwards()) == 2
        page.get_by_role("button", name="Yes, remove ftp").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        page.goto(f"{pages.address}/#flows")
        page.get_by_role("button", name=f"open flow {flow}").click()
        page.get_by_role("button", name="Close this flow").click()
        assert flow in gateway.engine.table.flows
        page.get_by_role("button", name=f"Yes, close flow {flow}").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert flow not in gateway.engine.table.flows
        said = page.get_by_role("main").get_by_role("status")
        expect(said).to_have_text(
            re.compile(rf"Flow {flow} is closed: udp, 10.0.0.2:\d+ with .+\.")
        )


def test_why_a_flow_is_not_closed_is_said(gateway: Running, visit: Visit):
    flow = gateway.open_udp()
    with served(gateway.path, token=TOKEN, allows_changes=True) as pages:
        page = visit(pages.address)
        enter(page)
        page.goto(f"{pages.address}/#flows")
        page.get_by_role("button", name=f"open flow {flow}").click()
        page.get_by_role("button", name="Close this flow").click()
        gateway.do(lambda: gateway.gateway.close(flow))
        page.get_by_role("button", name=f"Yes, close flow {flow}").click()
        said = page.get_by_role("dialog").get_by_role("alert").last
        expect(said).to_have_text(f"Flow {flow} is not closed: there is no flow {flow}.")
        page.keyboard.press("Escape")
        expect(page.get_by_role("main").get_by_role("status")).to_be_empty()


def test_a_browser_continues_after_the_gateway_was_gone(tmp_path: Path, visit: Visit):
    path = tmp_path / "control.sock"
    with running(path), served(str(path)) as pages:
        page = visit(f"{pages.address}/")
        expect(page.locator(".card")).to_have_count(7)
        state = page.locator("header .state")
        expect(state).to_have_text("live")
    with served(str(path)) as pages:
        page = visit(f"{pages.address}/")
        state = page.locator("header .state")
        expect(state).to_contain_text("does not answer")
        with running(path):
            expect(state).to_have_text("live", timeout=15_000)
            expect(page.get_by_text("the gateway answers again")).to_be_visible()


def test_a_page_says_of_when_it_is_while_the_gateway_does_not_answer(tmp_path: Path, visit: Visit):
    path = tmp_path / "control.sock"
    with served(str(path)) as pages:
        with running(path):
            page = visit(f"{pages.address}/")
            expect(page.get_by_label("Bytes per second")).to_be_visible()
            expect(page.locator("header .state")).to_have_text("live")
            expect(page.locator(".stale")).to_have_count(0)
        expect(page.locator(".stale")).to_contain_text("What is shown here is of")
        assert violations(page) == []
        with running(path):
            expect(page.locator(".stale")).to_have_count(0, timeout=15_000)


def test_a_wrong_token_is_called_wrong(gateway: Running, visit: Visit):
    with served(gateway.path, token=TOKEN) as pages:
        page = visit(pages.address)
        expect(page.get_by_role("alert")).to_have_count(0)
        give(page, "another token, of a friend")
        expect(page.get_by_role("alert")).to_have_text("This is not the token.")
        enter(page)


def test_all_of_it_works_with_the_keyboard(gateway: Running, pages: Served, visit: Visit):
    number = busy(gateway)
    page = visit(pages.address)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the page")).to_be_focused()
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Flows")).to_have_count(1)
    page.keyboard.press("Enter")
    page.goto(f"{pages.address}/#flows")
    page.get_by_role("button", name=f"open flow {number}").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")


def test_a_capture_that_is_dropped_onto_the_page_is_a_ladder_diagram(pages: Served, visit: Visit):
    page = visit(f"{pages.address}/#replay")
    expect(page.locator("h1")).to_have_text("Replay")
    page.evaluate(DROP, list(CAPTURE))
    ladder = page.frame_locator("iframe")
    expect(ladder.locator("ins")).to_contain_text("203,0,113,1")
    ladder.get_by_label("Lines that passed unchanged").uncheck()
    expect(ladder.get_by_text("220 ready")).to_be_hidden()
    expect(page.get_by_text("dropped.pcapng was replayed.")).to_be_visible()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open it alone").click()
    expect(opened.value.locator("ins")).to_contain_text("203,0,113,1")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save it as a file").click()
    assert saved.value.suggested_filename == "dropped.pcapng.html"
    assert "203,0,113,1" in saved.value.path().read_text("utf-8")


def test_the_diagram_cannot_reach_the_pages(pages: Served, visit: Visit):
    page = visit(f"{pages.address}/#replay")
    choose(page, CAPTURE)
    expect(page.frame_locator("iframe").locator("ins")).to_be_visible()
    frame = page.frames[1]
    assert frame.evaluate("window.origin") == "null"
    reach = "() => { try { return parent.document.title; } catch { return 'refused'; } }"
    assert frame.evaluate(reach) == "refused"


def test_a_damaged_capture_and_what_is_none_give_a_sentence(pages: Served, visit: Visit):
    page = visit(f"{pages.address}/#replay")
    choose(page, b"this is no capture", "letter.txt")
    expect(page.get_by_role("alert")).to_contain_text("letter.txt: the capture")
    assert page.locator("iframe").count() == 0
    choose(page, CAPTURE[: len(CAPTURE) // 2])
    expect(page.get_by_role("alert")).to_contain_text("read up to its damage")
    expect(page.frame_locator("iframe").locator("table")).to_be_visible()
    page.evaluate(
        "import('/settings.js').then(({ settings }) => { settings.largest_capture = 9; })"
    )
    choose(page, CAPTURE)
    expect(page.get_by_role("alert")).to_contain_text("these pages take 9 B")


def test_health_shows_what_the_doctor_finds_and_what_it_left_out(pages: Served, visit: Visit):
    page = visit(f"{pages.address}/#health")
    findings = page.locator(".findings li")
    expect(findings.first).to_contain_text("fault firewall")
    expect(findings.first).to_contain_text("a rule drops <b>everything</b>.")
    expect(findings.first.locator("pre")).to_contain_text("handle 7\nnft list ruleset")
    expect(findings.last).to_contain_text("hint DNS")
    expect(page.get_by_text("the far side of the moon")).to_be_visible()
    expect(page.get_by_role("status").nth(1)).to_contain_text("2 findings, examined at")
    page.get_by_role("button", name="Examine again").press("Enter")
    expect(page.get_by_role("status").nth(1)).to_contain_text("2 findings, examined at")


def test_every_page_says_that_the_firewall_obstructs_the_gateway(
    gateway: Running, pages: Served, visit: Visit
):
    page = visit(f"{pages.address}/#overview")
    expect(page.locator("header .state")).to_have_text("live")
    commands = ("nft insert rule one", "nft insert rule two")
    gateway.gateway.firewall.found = (
        Finding("nft inet filter", "it drops <b>all</b>", "add: ...", commands),
    )
    expect(page.get_by_role("alert")).to_contain_text("firewall obstructs the gateway")
    expect(page.locator("header .state")).to_have_text("live, obstructed by the firewall")
    page.get_by_role("alert").get_by_role("link", name="Health").click()
    expect(page.get_by_text("it drops <b>all</b>.")).to_be_visible()
    expect(page.get_by_label("commands that add rules")).to_have_text("\n".join(commands))
    assert violations(page) == []
    gateway.gateway.firewall.found = ()
    expect(page.locator("header .state")).to_have_text("live")


def test_health_examines_the_host_again_when_the_firewall_has_changed(
    gateway: Running, pages: Served, visit: Visit
):
    page = visit(f"{pages.address}/#health")
    said = page.get_by_role("status").nth(1)
    expect(said).to_contain_text("2 findings, examined at")
    expect(page.get_by_text("Nothing runs short")).to_be_visible()
    gateway.do(lambda: setattr(gateway.control.examination, "_command", tuple(doctor([]))))
    gateway.gateway.firewall.found = (Finding("nft inet filter", "drops", "add: ..."),)
    expect(said).to_contain_text("No findings, examined at", timeout=15_000)


def test_health_says_when_the_host_cannot_be_examined(tmp_path: Path, visit: Visit):
    with running(tmp_path / "control.sock") as gateway, served(gateway.path) as pages:
        page = visit(f"{pages.address}/#health")
        expect(page.get_by_role("alert")).to_contain_text("run ipmasq doctor on its host")
        expect(page.get_by_text("Nothing runs short")).to_be_visible()


def test_a_web_process_that_began_anew_wants_the_token_again(gateway: Running, visit: Visit):
    with served(gateway.path, token=TOKEN) as pages:
        page = visit(f"{pages.address}/")
        enter(page)
        expect(page.locator("header .state")).to_have_text("live")
    with served(gateway.path, token=TOKEN, port=pages.port):
        expect(page.get_by_label("Token")).to_be_focused()
