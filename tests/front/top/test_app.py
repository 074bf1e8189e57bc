"""`ipmasq top` on a terminal of 80 by 24, beside a real engine and its control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Sparkline, Static, TabbedContent

from ipmasq.control.protocol import Row
from ipmasq.front.top.app import Top
from ipmasq.front.top.flow import Confirmation, FlowScreen
from ipmasq.front.top.lists import LISTS, MOST, wanted
from ipmasq.front.upstream import Upstream
from ipmasq.wire.addresses import to_address
from tests.conformance import packets
from tests.control.ftp_session import WITH_FTP, session
from tests.control.running import IN1, IN2, OUT1, Running, conversation, running

SIZE = 80, 24
PATIENCE = 30


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "control.sock") as gateway:
        yield gateway


def played(
    gateway: Running,
    play: Callable[[Top, Pilot[None]], Awaitable[None]],
    upstream: Upstream | None = None,
) -> None:
    """Run it on a terminal, and let `play` use it."""

    async def run() -> None:
        app = Top(upstream or Upstream(gateway.path))
        async with app.run_test(size=SIZE) as pilot:
            await play(app, pilot)

    asyncio.run(run())


async def until(pilot: Pilot[None], is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await pilot.pause(0.02)


def rows(app: Top, name: str) -> list[list[str]]:
    table = app.query_one(f"#table-{name}", DataTable)
    return [[str(cell) for cell in table.get_row(key)] for key in table.rows]


async def switched(app: Top, pilot: Pilot[None], name: str) -> None:
    """Switch to a tab, and wait until that has happened."""
    app.query_one("#tabs", TabbedContent).active = name
    table = app.query_one(f"#table-{name}", DataTable)
    await until(pilot, lambda: app.focused is table)


def said(app: Top, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).content)


def busy(gateway: Running) -> int:
    gateway.open_many(5)
    gateway.send(packets.udp(IN2, 5000, OUT1, 53, bytes(1000)))
    gateway.send(packets.udp(IN1, 5, to_address("198.51.100.99"), 53))
    return conversation(gateway, [b"ask one\r\n", b"refuse\r\n"])


def test_it_begins_with_a_summary_and_the_busiest_flows(gateway: Running):
    busy(gateway)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(rows(app, "flows")) == 7)
        await until(pilot, lambda: "flows 7 of 1.0M" in said(app, "#summary"))
        assert "10.0.0.3:5000" in rows(app, "flows")[0]
        await until(pilot, lambda: bool(app.query_one("#out", Sparkline).data))
        assert app.query_one("#table-flows", DataTable).virtual_size.width <= SIZE[0]
        assert app.screen.max_scroll_y == 0

    played(gateway, play)


def test_every_tab_has_its_list(gateway: Running):
    busy(gateway)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        expected = {"hosts": 2, "mappings": 7, "expectations": 0, "helpers": 1, "drops": 1}
        await until(pilot, lambda: len(rows(app, "flows")) == 7)
        for name, count in expected.items():
            app.query_one("#tabs", TabbedContent).active = name
            await until(pilot, lambda name=name, count=count: len(rows(app, name)) == count)
            await pilot.pause()
            assert app.query_one(f"#table-{name}", DataTable).virtual_size.width <= SIZE[0], name
        assert rows(app, "drops")[0][0] == "rule_drop"
        assert rows(app, "helpers")[0][:1] == ["finger"]

    played(gateway, play)


def test_s_sorts_by_something_else(gateway: Running):
    gateway.send(packets.udp(IN2, 5000, OUT1, 53, bytes(1000)))
    gateway.open_many(3)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(rows(app, "flows")) == 4)
        app.query_one("#tabs", TabbedContent).active = "hosts"
        await until(pilot, lambda: rows(app, "hosts")[:1] != [])
        await pilot.press("s", "s")
        await until(pilot, lambda: rows(app, "hosts")[0][0] == "10.0.0.2")
        assert rows(app, "hosts")[0][1] == "3"

    played(gateway, play)


def test_a_filter_leaves_what_matches_and_escape_shows_all(gateway: Running):
    busy(gateway)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(rows(app, "flows")) == 7)
        await pilot.press("slash")
        await until(pilot, lambda: app.query_one("#filter", Input).has_focus)
        await pilot.press(*"tcp", "enter")
        await until(pilot, lambda: len(rows(app, "flows")) == 1)
        assert said(app, "#list") == "1 with tcp; r asks again, esc shows all"
        await pilot.press("escape")
        await until(pilot, lambda: len(rows(app, "flows")) == 7)
        assert said(app, "#list") == "7 flows by rate"

    played(gateway, play)


def test_enter_opens_a_flow_with_its_rule_and_its_rewrites(gateway: Running):
    number = busy(gateway)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await opened(app, pilot, number)
        await until(pilot, lambda: "masquerade" in said(app, "#explanation"))
        await until(pilot, lambda: "helper   finger" in said(app, "#facts"))
        await until(pilot, lambda: "query\\x1b one" in said(app, "#rewrites"))
        assert "- ask one\\r\\n" in said(app, "#rewrites")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, FlowScreen))

    played(gateway, play)


def test_an_opened_flow_names_its_rule_and_its_linked_flows(gateway: Running):
    gateway.do(lambda: gateway.engine.apply(WITH_FTP, gateway.loop.clock()))
    number = session(gateway, IN1, OUT1, b"PORT 10,0,0,2,128,255\r\n")

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await opened(app, pilot, number)
        await until(pilot, lambda: "linked   flow" in said(app, "#facts"))
        assert "10.0.0.2:33023 198.51.100.1:20" in said(app, "#facts")
        assert "rule     masquerade" in said(app, "#facts")

    played(gateway, play)


def test_an_opened_data_flow_shows_the_expectation_that_it_met(gateway: Running):
    gateway.do(lambda: gateway.engine.apply(WITH_FTP, gateway.loop.clock()))
    control = session(gateway, IN1, OUT1, b"PORT 10,0,0,2,128,255\r\n")
    (data,) = (each.id for each in gateway.engine.flows() if each.master == control)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await opened(app, pilot, data)
        await until(pilot, lambda: f"was met by flow {data}" in said(app, "#rewrites"))

    played(gateway, play)


class Counting(Upstream):
    """Counts the rows of each answer that it has read."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.counts: dict[str, int] = {}

    async def rows(self, request: str, given: Row, most: int) -> tuple[list[Row], bool]:
        found, more = await super().rows(request, given, most)
        self.counts[request] = max(self.counts.get(request, 0), len(found) + more)
        return found, more


def test_of_many_flows_a_page_is_read_and_never_all(gateway: Running):
    gateway.open_many(20 * MOST)
    upstream = Counting(gateway.path)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        for name in LISTS:
            await switched(app, pilot, name)
            await until(pilot, lambda name=name: LISTS[name].request in (None, *upstream.counts))
        await pilot.press("slash")
        await until(pilot, lambda: app.query_one("#filter", Input).has_focus)
        await pilot.press(*"udp", "enter")
        await until(pilot, lambda: "flows" in upstream.counts)

    played(gateway, play, upstream)
    assert upstream.counts["top"] == MOST
    assert upstream.counts["mappings"] == upstream.counts["flows"] == MOST + 1
    assert max(upstream.counts.values()) == MOST + 1


def test_a_filter_is_typed_on_any_tab(gateway: Running):
    busy(gateway)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(rows(app, "flows")) == 7)
        await switched(app, pilot, "helpers")
        await pilot.press("slash", *"tcp", "enter")
        await until(pilot, lambda: len(rows(app, "flows")) == 1)
        assert app.query_one("#tabs", TabbedContent).active == "flows"

    played(gateway, play)


def test_a_filter_that_the_gateway_refuses_leaves_its_reason_on_the_screen(gateway: Running):
    busy(gateway)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(rows(app, "flows")) == 7)
        await pilot.press("slash", *"nonsense", "enter")
        await until(pilot, lambda: "no helper nonsense" in said(app, "#list"))
        assert rows(app, "flows") == []
        await pilot.press("slash", *"tcp", "enter")  # what was typed before is replaced
        await until(pilot, lambda: len(rows(app, "flows")) == 1)

    played(gateway, play)


def test_a_digit_shows_the_list_on_that_tab(gateway: Running):
    busy(gateway)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        for key, name in (("6", "drops"), ("2", "hosts"), ("1", "flows")):
            await pilot.press(key)
            await until(pilot, lambda name=name: rows(app, name) != [])
            assert app.query_one("#tabs", TabbedContent).active == name

    played(gateway, play)


def test_a_flow_that_was_closed_is_in_no_list_even_a_filtered_one(gateway: Running):
    number = busy(gateway)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(rows(app, "flows")) == 7)
        await pilot.press("slash", *"tcp", "enter")
        await until(pilot, lambda: len(rows(app, "flows")) == 1)
        await opened(app, pilot, number)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Confirmation))
        await pilot.press("y")
        await until(pilot, lambda: said(app, "#list").startswith("0 with tcp"))

    played(gateway, play)


async def opened(app: Top, pilot: Pilot[None], number: int) -> None:
    table = app.query_one("#table-flows", DataTable)
    await until(pilot, lambda: str(number) in table.rows)
    table.focus()
    table.move_cursor(row=table.get_row_index(str(number)))
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, FlowScreen))


def test_a_flow_is_closed_only_after_a_confirmation(gateway: Running):
    number = gateway.open_udp()

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await opened(app, pilot, number)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Confirmation))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, FlowScreen))
        assert number in gateway.engine.table.flows
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Confirmation))
        await pilot.press("y")
        await until(pilot, lambda: number not in gateway.engine.table.flows)
        await until(pilot, lambda: not isinstance(app.screen, FlowScreen))

    played(gateway, play)


def test_the_cursor_stays_on_its_flow_when_the_order_changes(gateway: Running):
    gateway.open_many(5)

    async def play(app: Top, pilot: Pilot[None]) -> None:
        table = app.query_one("#table-flows", DataTable)
        await until(pilot, lambda: table.row_count == 5)
        table.move_cursor(row=4)
        await pilot.pause()
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key
        port = gateway.engine.flow(int(key.value or 0)).inside.port  # type: ignore[union-attr]
        gateway.send(packets.udp(IN1, port, OUT1, 53, bytes(1400)))
        await pilot.press("s")  # by bytes
        await until(pilot, lambda: table.get_row_index(key.value or "") == 0)
        assert table.cursor_row == 0

    played(gateway, play)


@pytest.mark.parametrize("turns", range(4))
def test_it_ends_though_a_list_is_just_being_asked_for(gateway: Running, turns: int):
    """Whatever has happened in the turn of the loop in which its work is cancelled."""

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: said(app, "#list") == "0 flows by rate")
        app.action_renew()
        for _ in range(turns):
            await asyncio.sleep(0)
        work = list(app.workers)
        app.workers.cancel_all()
        await until(pilot, lambda: all(each.is_finished for each in work))

    played(gateway, play)


def test_a_gateway_that_goes_and_comes_back_is_followed(tmp_path: Path):
    path = tmp_path / "control.sock"

    async def run() -> None:
        app = Top(Upstream(str(path)))
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: "cannot use the control socket" in said(app, "#summary"))
            with running(path) as gateway:
                gateway.open_udp()
                await until(pilot, lambda: "flows 1 of" in said(app, "#summary"))

    asyncio.run(run())


def test_what_a_packet_says_never_reaches_the_terminal_as_it_is(gateway: Running):
    number = conversation(gateway, [b"ask [bold]\x1b[2J\r\n"])

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await opened(app, pilot, number)
        await until(pilot, lambda: "[bold]\\x1b[2J" in said(app, "#rewrites"))

    played(gateway, play)


def test_of_a_long_line_the_beginning_and_the_reason_at_the_end_are_shown(gateway: Running):
    number = conversation(gateway, [b"refuse " + b"x" * 900 + b"\r\n"])
    (reason,) = gateway.engine.helpers()[0].refused

    async def play(app: Top, pilot: Pilot[None]) -> None:
        await opened(app, pilot, number)
        await until(pilot, lambda: said(app, "#rewrites").endswith(reason))
        assert '"refuse xxx' in said(app, "#rewrites")
        assert len(said(app, "#rewrites")) < 500

    played(gateway, play)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("10.0.0.2", {"host": "10.0.0.2"}),
        ("2001:db8::1 udp", {"host": "2001:db8::1", "protocol": "udp"}),
        (":21 TCP ftp", {"port": "21", "protocol": "TCP", "helper": "ftp"}),
        ("  ", {}),
    ],
)
def test_the_words_of_a_filter(text: str, arguments: dict[str, str]):
    assert wanted(text) == arguments


def test_lists_that_walk_through_a_whole_table_are_not_renewed():
    assert [name for name, each in LISTS.items() if not each.is_renewed] == ["mappings"]
