"""The screen of `ipmasq top`: a summary with the last minute as sparklines, and a list on each tab."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, suppress
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.css.query import NoMatches
from textual.widgets import DataTable, Footer, Input, Sparkline, Static, TabbedContent, TabPane

from ipmasq.control.client import UnreachableError
from ipmasq.control.protocol import RequestError, Row
from ipmasq.front.tables import Column, amount
from ipmasq.front.top.flow import FlowScreen
from ipmasq.front.top.lists import LISTS, MOST, List, wanted
from ipmasq.front.upstream import Upstream
from ipmasq.wire.visible import visible

EVERY = 1.0
"""Seconds between two summaries; a list is asked every two."""

RETRY = 1.0

HISTORY = 60
"""Summaries of which the sparklines are drawn."""

CSS = """
#summary { height: 2; padding: 0 1; }
#lines { height: 2; }
#lines Static { width: 8; }
Sparkline { width: 1fr; height: 2; margin: 0 1; }
Screen { overflow: hidden; }
TabbedContent, ContentSwitcher, TabPane, DataTable { height: 1fr; }
TabPane { padding: 0; }
#list { height: 1; padding: 0 1; color: $text-muted; }
#filter { height: 3; }
FlowScreen, Confirmation { align: center middle; }
#flow { background: $surface; border: round $primary; padding: 0 1; width: 100%; height: 1fr; }
#question { background: $surface; border: round $error; padding: 1 2; }
"""


class Top(App[None]):
    CSS = CSS
    TITLE = "ipmasq"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "quit"),
        *(
            Binding(str(at), f"turn('{name}')", name, show=False)
            for at, name in enumerate(LISTS, 1)
        ),
        ("s", "sort", "sort"),
        ("slash", "filter", "filter"),
        ("r", "renew", "renew"),
        ("escape", "all", "all"),
    ]

    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self._upstream = upstream
        self._summaries: deque[Row] = deque(maxlen=HISTORY)
        self._order = dict.fromkeys(LISTS, 0)
        self._filter: Row = {}
        self._renew = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield Static("waiting for the gateway", id="summary")
        with Horizontal(id="lines"):
            for name in ("out", "in"):
                yield Static(f"{name} B/s")
                yield Sparkline([], id=name)
        entry = Input(placeholder="10.0.0.2 :21 tcp ftp", id="filter")
        entry.display = False
        yield entry
        with TabbedContent(id="tabs"):
            for at, name in enumerate(LISTS, 1):
                with TabPane(f"{at} {name}", id=name):
                    yield DataTable(cursor_type="row", id=f"table-{name}")
        yield Static(id="list")
        yield Footer()

    def on_mount(self) -> None:
        self.run_worker(self._follow())
        self.run_worker(self._poll())

    # -- what the gateway says

    async def _follow(self) -> None:
        while True:
            try:
                stream = self._upstream.stream("summary", {"every": EVERY})
                async with aclosing(stream) as rows:
                    async for row in rows:
                        self._summaries.append(row)
                        self._show_summary()
            except (RequestError, UnreachableError) as error:
                self._say(visible(str(error)))
            await asyncio.sleep(RETRY)

    async def _poll(self) -> None:
        """Ask for the list of the visible tab, again and again."""
        while True:
            shown = self._shown
            self._renew.clear()
            if shown.request is not None:
                await self._ask(shown)
            else:
                self._fill(shown, _drops(self._summaries), False)
            is_renewed = shown.is_renewed and not (shown.name == "flows" and self._filter)
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * EVERY if is_renewed else None):
                    await self._renew.wait()

    async def _ask(self, shown: List) -> None:
        request, given = shown.request or "", self._given(shown)
        if shown.name == "flows" and self._filter:
            request, given = "flows", self._filter
        try:
            rows, more = await self._upstream.rows(request, given, MOST)
        except RequestError as error:
            self._fill(shown, [], False)
            self.query_one("#list", Static).update(Text(visible(str(error)), "red"))
            return
        except UnreachableError as error:
            self._say(visible(str(error)))
            return
        self._fill(shown, rows, more)

    def _given(self, shown: List) -> Row:
        if not shown.orders:
            return {}
        return {"by": shown.orders[self._order[shown.name]], "limit": MOST}

    # -- what is shown

    @property
    def _shown(self) -> List:
        with suppress(NoMatches):
            return LISTS.get(self.query_one("#tabs", TabbedContent).active, LISTS["flows"])
        return LISTS["flows"]

    def _table(self, shown: List) -> DataTable[Any]:
        return self.query_one(f"#table-{shown.name}", DataTable)

    def _say(self, text: str) -> None:
        with suppress(NoMatches):  # as the screen begins or ends
            self.query_one("#summary", Static).update(Text(text))

    def _show_summary(self) -> None:
        last = self._summaries[-1]
        before = self._summaries[-2] if len(self._summaries) > 1 else last
        seconds = max(last["time"] - before["time"], 0.1)
        packets = {
            who: (last[f"packets_{who}"] - before[f"packets_{who}"]) / seconds
            for who in ("engine", "fast_path")
        }
        opened = (last["flows_opened"] - before["flows_opened"]) / seconds
        dropped = (sum(last["dropped"].values()) - sum(before["dropped"].values())) / seconds
        over = f", {last['flows_over']:,} over" if last.get("flows_over") else ""
        self._say(
            f"flows {last['flows']:,} of {amount(last['max_flows'])}{over}  hosts {last['hosts']:,}"
            f"  ports {sum(last['ports'].values()):,}  new {amount(opened)}/s"
            f"  dropped {amount(dropped)}/s\n"
            f"packets/s kernel {amount(packets['fast_path'])} engine {amount(packets['engine'])}"
            f"  out {amount(last['rate_out'])}B/s  in {amount(last['rate_in'])}B/s"
        )
        for name in ("out", "in"):
            with suppress(NoMatches):
                line = self.query_one(f"#{name}", Sparkline)
                line.data = [row[f"rate_{name}"] for row in self._summaries]

    def _fill(self, shown: List, rows: list[Row], more: bool) -> None:
        """Replace the rows of a table. The cursor stays on its row, wherever that is now."""
        try:
            table = self._table(shown)
        except NoMatches:
            return  # the screen begins or ends
        columns = _fitting(shown.columns, self.size.width)
        kept = _key_at_cursor(table)
        table.clear(columns=True)
        for column in columns:
            table.add_column(Text(column.title, justify=column.justify), key=column.title)
        for row in rows:
            cells = (Text(visible(each.cell(row)), justify=each.justify) for each in columns)
            table.add_row(*cells, key=shown.key(row))
        if kept is not None and kept in table.rows:
            table.move_cursor(row=table.get_row_index(kept))
        self.query_one("#list", Static).update(Text(self._described(shown, len(rows), more)))

    def _described(self, shown: List, count: int, more: bool) -> str:
        """Say which rows these are, and how to see others."""
        which = f"the first {count}" if more else f"{count}"
        if shown.name == "flows" and self._filter:
            words = " ".join(map(str, self._filter.values()))
            return f"{which} with {visible(words)}; r asks again, esc shows all"
        if not shown.is_renewed:
            return f"{which} {shown.name}; r asks again"
        order = f"by {shown.orders[self._order[shown.name]]}" if shown.orders else ""
        return f"{which} {shown.name} {order}"

    # -- what the operator does

    @on(TabbedContent.TabActivated)
    def _changed_tab(self) -> None:
        if not self.query_one("#filter", Input).display:  # else `/` was pressed on another tab
            self._table(self._shown).focus()
        self._renew.set()

    @on(DataTable.RowSelected)
    def _open(self, event: DataTable.RowSelected) -> None:
        key = event.row_key.value or ""
        if self._shown.name == "flows":
            self.push_screen(FlowScreen(self._upstream, int(key)), lambda _: self._renew.set())
        elif self._shown.name == "hosts":
            self._filter = {"host": key}
            self.query_one("#tabs", TabbedContent).active = "flows"

    def action_turn(self, name: str) -> None:
        self.query_one("#tabs", TabbedContent).active = name

    def action_sort(self) -> None:
        shown = self._shown
        if shown.orders:
            self._order[shown.name] = (self._order[shown.name] + 1) % len(shown.orders)
            self.notify(f"sorted by {shown.orders[self._order[shown.name]]}", timeout=2)
            self._renew.set()

    def action_filter(self) -> None:
        self.query_one("#tabs", TabbedContent).active = "flows"
        entry = self.query_one("#filter", Input)
        entry.display = True
        entry.select_all()
        self.screen.set_focus(entry)  # at once, since the next key belongs to it

    @on(Input.Submitted)
    def _filtered(self, event: Input.Submitted) -> None:
        event.input.display = False
        self._filter = wanted(event.value)
        self._table(LISTS["flows"]).focus()
        self._renew.set()

    def action_all(self) -> None:
        self._filter = {}
        entry = self.query_one("#filter", Input)
        entry.value = ""
        entry.display = False
        self._table(self._shown).focus()
        self._renew.set()

    def action_renew(self) -> None:
        self._renew.set()


def _key_at_cursor(table: DataTable[Any]) -> str | None:
    if not table.row_count or not 0 <= table.cursor_row < table.row_count:
        return None
    return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value


WIDE = {"inside": 21, "public": 21, "remote": 21, "state": 11, "expected at": 21}
"""Characters of columns with endpoints or states; others have eight."""


def _fitting(columns: tuple[Column, ...], width: int) -> list[Column]:
    """Return the columns that fit side by side; those of the highest rank are left out first."""
    chosen = list(columns)
    for rank in sorted({column.rank for column in columns} - {0}, reverse=True):
        if sum(WIDE.get(column.title, 8) + 1 for column in chosen) <= width:
            break
        chosen = [column for column in chosen if column.rank != rank]
    return chosen


def _drops(summaries: deque[Row]) -> list[Row]:
    """Return the reasons for which packets were dropped, those of now first."""
    if not summaries:
        return []
    last, before = summaries[-1], summaries[max(0, len(summaries) - 6)]
    seconds = max(last["time"] - before["time"], 0.1)
    rows = [
        {
            "reason": reason,
            "packets": packets,
            "rate": (packets - before["dropped"].get(reason, 0)) / seconds,
        }
        for reason, packets in last["dropped"].items()
    ]
    return sorted(rows, key=lambda row: (-row["rate"], -row["packets"]))
