"""What browsers are told as it happens: summaries and events of the gateway, numbered, and the latest of them kept.

The gateway is asked once, whatever the number of browsers. A browser that was disconnected continues after the number
that it has seen last; what it has missed and is not kept any more is not sent.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from math import inf
from typing import NamedTuple

from ipmasq.control.client import UnreachableError
from ipmasq.control.protocol import RequestError, Row
from ipmasq.front.tables import duration
from ipmasq.front.upstream import Upstream

EVENTS = (
    "helper_bound", "helper_released", "helper_failed", "helper_loaded", "helper_unloaded",
    "expected", "expectation_ended", "expectation_missed", "rewritten", "refused", "kept_alive", "flow_encrypted",
    "limit_neared", "limit_reached", "forward_added", "forward_removed", "policy_applied",
    "packet_failed", "setting_restored", "firewall_obstructed", "firewall_cleared",
)  # fmt: skip
"""The events that are shown: those about helpers and limits. Opened and closed flows are counted by the summary."""

EARLIER = 200
"""Past events that are asked for whenever the gateway answers anew: from before this process, or of a gateway that began
before it could be asked."""

SAME = 0.05
"""Seconds by which the time of an event may differ when it is told again: the gateway counts it from its own clock."""

EVERY = 1.0
"""Seconds between two summaries."""

SUMMARIES = 600
"""Summaries that are kept: ten minutes."""

HAPPENED = 1000
"""The most events that are kept."""

HAPPENED_SIZE = 1 << 20
"""The most characters of all events that are kept, usually 300 each. An event with a long line has fifty thousand, and each browser
that comes is sent all that is kept."""

RETRY = 1.0
"""Seconds until the gateway is asked again after it did not answer."""


class Message(NamedTuple):
    number: int
    kind: str
    """`summary`, `happened` or `gateway`."""
    data: str
    """JSON."""


class Feed:
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._told: deque[tuple[int, float]] = deque(maxlen=EARLIER)
        """The latest events as hashes of what they say without their time, and that."""
        self.name = secrets.token_hex(4)
        """Distinguishes the numbers of this process from those of an earlier one."""
        self._number = 0
        self._kept = {
            "summary": deque[Message](maxlen=SUMMARIES),
            "happened": deque[Message](),
        }
        self._kept["gateway"] = deque[Message](maxlen=1)
        self._size = 0
        """Of the events that are kept."""
        self._news = asyncio.Event()

    @property
    def number(self) -> int:
        """The number of the latest message."""
        return self._number

    def add(self, kind: str, row: Row) -> None:
        self._number += 1
        message = Message(self._number, kind, json.dumps(row, separators=(",", ":")))
        self._kept[kind].append(message)
        if kind == "happened":
            self._size += len(message.data)
            self._forget()
        self._news.set()
        self._news = asyncio.Event()

    def _forget(self) -> None:
        kept = self._kept["happened"]
        while len(kept) > HAPPENED or self._size > HAPPENED_SIZE:
            self._size -= len(kept.popleft().data)

    def since(self, number: int) -> list[Message]:
        """Return what is kept of the messages after this number, in their order."""
        found: list[Message] = []
        for kept in self._kept.values():
            for message in reversed(kept):
                if message.number <= number:
                    break
                found.append(message)
        return sorted(found)

    def position(self, last_id: str | None) -> int:
        """Return the number after which a browser continues that has seen this id last; 0 for all that is kept."""
        name, _, number = (last_id or "").partition("-")
        known = name == self.name and number.isascii() and number.isdigit() and len(number) < 16
        return min(int(number), self._number) if known else 0

    async def messages(self, number: int) -> AsyncGenerator[list[Message], None]:
        """Yield messages as they come. A slow reader gets those that are kept then, which are the latest."""
        while True:
            news = self._news
            found = self.since(number)
            if found:
                number = found[-1].number
                yield found
            else:
                await news.wait()

    async def run(self) -> None:
        """Follow the gateway for ever."""
        summaries = self._again(self._follow_summaries)
        await asyncio.gather(summaries, self._again(self._follow_events))

    async def _again(self, follow: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await follow()
            except (UnreachableError, RequestError) as error:
                state = {"is_up": False, "text": str(error)}
                latest = self._kept["gateway"]
                known = json.loads(latest[-1].data) if latest else {"is_up": True}
                if known["is_up"]:
                    self._note("gateway_lost", str(error))
                if known != state:
                    self.add("gateway", state)
            await asyncio.sleep(RETRY)

    async def _follow_summaries(self) -> None:
        up = False
        async for row in self._upstream.stream("summary", {"every": EVERY}):
            if not up:
                await self._back()
                up = True
            self.add("summary", row)

    async def _back(self) -> None:
        """Tell that the gateway answers; after a break also since when it runs, as it may be another process."""
        was_lost = any(not json.loads(each.data)["is_up"] for each in self._kept["gateway"])
        if was_lost:
            (status,), _ = await self._upstream.rows("status", {}, 1)
            runs = f"; it has run for {duration(status['uptime'])}" if "uptime" in status else ""
            self._note("gateway_found", f"the gateway answers again{runs}")
        self.add("gateway", {"is_up": True, "text": ""})

    def _note(self, event: str, text: str) -> None:
        """Tell what no event of the gateway says, among its events."""
        self.add("happened", {"event": event, "time": round(time.time(), 3), "text": text})

    async def _follow_events(self) -> None:
        began = time.time()
        async for row in self._upstream.stream("watch", {"events": list(EVENTS), "last": EARLIER}):
            if row.get("time", inf) > began or not self._is_told(row):
                self.add("happened", row)
                self._told.append(_without_time(row))

    def _is_told(self, row: Row) -> bool:
        """Return whether browsers have been told this event, which happened before the gateway was asked."""
        said, at = _without_time(row)
        return any(text == said and abs(at - before) < SAME for text, before in self._told)


def _without_time(row: Row) -> tuple[int, float]:
    rest = {name: value for name, value in row.items() if name not in ("time", "until")}
    return hash(json.dumps(rest, sort_keys=True)), row.get("time", 0.0)
