"""One flow on a screen of its own: its rule, helper and linked flows, its rewrites, and how to close it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.screen import ModalScreen
from textual.widgets import Footer, Label, Static

from ipmasq.control.client import UnreachableError
from ipmasq.control.protocol import RequestError, Row
from ipmasq.front.tables import amount, duration, endpoint
from ipmasq.front.upstream import Upstream
from ipmasq.wire.visible import visible

EVERY = 2.0
"""Seconds between two looks at the flow."""

EVENTS = ("rewritten", "refused", "expected", "expectation_ended", "helper_failed")

EARLIER = 1000
"""Past events among which those of this flow are looked for."""


LONG, END = 400, 100
"""Characters of a line from which on only its beginning and its end are shown, and how many of the end."""


class FlowScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q", "dismiss", "back"),
        ("c", "close_flow", "close this flow"),
    ]

    def __init__(self, upstream: Upstream, number: int) -> None:
        super().__init__()
        self._upstream = upstream
        self._number = number
        self._events: list[Row] = []

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="flow"):
            yield Static(id="facts")
            yield Static(id="explanation")
            yield Static("no rewrites or refusals yet", id="rewrites")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#flow").focus()
        self.run_worker(self._look())
        self.run_worker(self._watch())

    def action_close_flow(self) -> None:
        self.app.push_screen(Confirmation(self._number), self._confirmed)

    def _confirmed(self, yes: bool | None) -> None:
        if yes:
            self.run_worker(self._close())

    async def _close(self) -> None:
        try:
            await self._upstream.ask("close", {"flow": self._number})
            self.app.notify(f"flow {self._number} is closed")
            if self.is_current:
                self.dismiss()
        except (RequestError, UnreachableError) as error:
            self.app.notify(str(error), severity="error")

    async def _look(self) -> None:
        try:
            while True:
                (told,), _ = await self._upstream.rows("explain", {"flow": self._number}, 1)
                self._show("#explanation", Text("\n".join(_reasons(told))))
                rows, _ = await self._upstream.rows("flow", {"flow": self._number}, 100)
                self._show("#facts", Text("\n".join(_facts(*rows))))
                await asyncio.sleep(EVERY)
        except (RequestError, UnreachableError) as error:
            self._show("#facts", Text(visible(str(error))))

    async def _watch(self) -> None:
        given = {"events": list(EVENTS), "last": EARLIER}
        try:
            async with aclosing(self._upstream.stream("watch", given)) as events:
                async for row in events:
                    if self._number in (row.get("flow"), row.get("met_by")):
                        self._events = [*self._events[-49:], row]
                        self._show("#rewrites", _rewrites(self._events))
        except (RequestError, UnreachableError):
            return  # `_look` says so

    def _show(self, selector: str, text: Text) -> None:
        """Write into a part of this screen, unless it has just been left."""
        with suppress(NoMatches):
            self.query_one(selector, Static).update(text)


class Confirmation(ModalScreen[bool]):
    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "yes"),
        ("n,escape", "answer(False)", "no"),
    ]

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def compose(self) -> ComposeResult:
        yield Label(f"Close flow {self._number}? Its packets will be dropped. (y/n)", id="question")
        yield Footer()

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


def _facts(row: Row, *linked: Row) -> Iterator[str]:
    yield f"flow {row['id']}: {row['protocol']}, {row['state']}"
    yield f"inside   {endpoint(row['inside'])} as {endpoint(row['public'])}"
    yield f"remote   {endpoint(row['remote'])}"
    yield f"rule     {visible(row['origin'])}"
    yield f"helper   {row['helper'] or 'none'}"
    yield f"out      {amount(row['bytes_out'])}B, {amount(row['rate_out'])}B/s"
    yield f"in       {amount(row['bytes_in'])}B, {amount(row['rate_in'])}B/s"
    yield f"age      {duration(row['age'])}, expires: {duration(row['expires_in'])}"
    for each in linked:
        yield f"linked   flow {each['id']}: {endpoint(each['inside'])} {endpoint(each['remote'])}"


def _reasons(told: Row) -> Iterator[str]:
    yield ""
    if told["transfer"]:
        yield visible(told["transfer"])
    yield visible(told["verdict"])
    for step in told["steps"]:
        yield f"  - {visible(step)}"


def _rewrites(events: list[Row]) -> Text:
    text = Text()
    for row in events:
        if row["event"] != "rewritten":
            text.append(f"\n{_brief(row['text'])}")
            continue
        text.append(f"\nhelper {row['helper']} rewrote what the {row['speaker']} said")
        text.append(f"\n  - {_brief(row['before'])}", "red")
        text.append(f"\n  + {_brief(row['after'])}", "green")
    return text


def _brief(text: str) -> str:
    """Return the text as visible characters; of a long one the beginning and the end, where the reason is."""
    if len(text) <= LONG:
        return visible(text)
    left_out = len(text) - LONG
    return f"{visible(text[: LONG - END])} ... {left_out} characters ... {visible(text[-END:])}"
