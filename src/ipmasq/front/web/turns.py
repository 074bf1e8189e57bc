"""Places in which something is done for clients, and whose turn is next when all are taken.

The gateway has 16 connections for the user of this process (`control.server.MOST_PER_USER`). The feed has two of them,
the places here twelve; two are left, since the gateway notices a little later that one was closed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

WALKS = 3
"""Questions at a time for which the gateway walks through a whole table,"""

LOOKS = 5
"""other questions,"""

EXAMINATIONS = 2
"""examinations of the host,"""

CHANGES = 2
"""and changes and replays, which ask for the configuration."""

PATIENCE = 20.0
"""Seconds that a client waits for its turn."""


class BusyError(Exception):
    """It was not this client's turn in time."""


class Turns:
    def __init__(self, slots: int) -> None:
        self._free = slots
        self._served: Counter[str] = Counter()
        """How many places each client has."""
        self._waiting: dict[asyncio.Future[None], str] = {}
        """Who waits for a place, the oldest first. There are no more of them than connections."""

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Have a place. The next one is of the client that has the fewest. Raises BusyError."""
        if not self._free:
            await self._wait(client)
        else:
            self._take(client)
        try:
            yield
        finally:
            self._give_back(client)

    async def _wait(self, client: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = client
        try:
            async with asyncio.timeout(PATIENCE):
                await turn
        except BaseException as error:
            # If nobody waits here any more, either the place came at the same moment, or it was passed over.
            if self._waiting.pop(turn, None) is None and not turn.cancelled():
                self._give_back(client)
            if isinstance(error, TimeoutError):
                raise BusyError from None
            raise

    def _take(self, client: str) -> None:
        self._free -= 1
        self._served[client] += 1

    def _give_back(self, client: str) -> None:
        self._free += 1
        self._served[client] -= 1
        self._served = +self._served
        self._pass_on()

    def _pass_on(self) -> None:
        while self._free and self._waiting:
            turn = min(self._waiting, key=lambda each: self._served[self._waiting[each]])
            client = self._waiting.pop(turn)
            if not turn.done():
                self._take(client)
                turn.set_result(None)
