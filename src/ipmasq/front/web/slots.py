"""Places for captures that are received or wait for their replay, and who gives one up for another one.

A capture may take two minutes to come. So that no client keeps the others out, it has half of the places, and an
upload that is slow gives its place up when none is left for a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import inf

from ipmasq.front.web.guard import LARGEST_CAPTURE
from ipmasq.front.web.sessions import ANYBODY

MOST = 4
"""Captures that are received or wait at the same time; one of them is replayed."""

MOST_PER_CLIENT = 2
"""Of these, the most of one client. Where no token is needed, everybody is one client, which has all of them."""

UPLOAD = 120.0
"""Seconds in which a capture has to come; 16 MB take as long at 1.1 Mbit/s."""

SLOW = LARGEST_CAPTURE / UPLOAD
"""Bytes per second below which an upload is slow,"""

GRACE = 5.0
"""after so many seconds."""


class NoSlotError(Exception):
    """All places are taken. The message is for people."""


class DisplacedError(Exception):
    """The place was given to another capture."""


@dataclass(eq=False)
class Slot:
    client: str
    received: int = 0
    """Bytes that have come so far."""
    _began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _coming: asyncio.Timeout | None = None
    """The limit of the upload, while it lasts."""
    _is_displaced: bool = False

    @asynccontextmanager
    async def upload(self) -> AsyncIterator[None]:
        """Limit the time in which the capture comes. Raises TimeoutError and DisplacedError."""
        try:
            async with asyncio.timeout(UPLOAD) as self._coming:
                yield
        except TimeoutError:
            if self._is_displaced:
                raise DisplacedError from None
            raise
        finally:
            self._coming = None

    @property
    def rate(self) -> float:
        """Bytes per second so far; infinite for a capture that has come, or began to a moment ago."""
        spent = asyncio.get_running_loop().time() - self._began
        is_coming = self._coming is not None and not self._coming.expired()
        return self.received / spent if is_coming and spent > GRACE else inf

    def displace(self) -> None:
        assert self._coming is not None
        self._is_displaced = True
        self._coming.reschedule(0.0)


class Slots:
    def __init__(self) -> None:
        self._taken: list[Slot] = []

    @contextmanager
    def slot(self, client: str) -> Iterator[Slot]:
        """Have a place. Raises NoSlotError."""
        self._make_room(client)
        made = Slot(client)
        self._taken.append(made)
        try:
            yield made
        finally:
            if made in self._taken:
                self._taken.remove(made)

    def _make_room(self, client: str) -> None:
        own = [each for each in self._taken if each.client == client]
        has_share = client == ANYBODY or len(own) < MOST_PER_CLIENT
        if has_share and len(self._taken) < MOST:
            return
        slowest = min(self._taken if has_share else own, key=lambda each: each.rate)
        if slowest.rate >= SLOW:
            whose = "other captures" if has_share else "other captures of yours"
            raise NoSlotError(f"{whose} are being replayed; try again in a moment")
        slowest.displace()
        self._taken.remove(slowest)
