"""Asking the gateway from asyncio. One connection for each question, so that none waits for another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from ipmasq.control.client import LONGEST_ANSWER, UnreachableError
from ipmasq.control.protocol import VERSION, Kind, RequestError, Row, line

PATIENCE = 50.0
"""Seconds to wait for the next row of an answer that ends, the longest of which is an examination of the host."""


class Upstream:
    """Every method raises UnreachableError and RequestError."""

    def __init__(self, path: str | Callable[[], str]) -> None:
        """`path` is the control socket, or what names it each time that it is used."""
        self._path = path

    @property
    def path(self) -> str:
        return self._path if isinstance(self._path, str) else self._path()

    async def rows(self, request: str, given: Row, most: int) -> tuple[list[Row], bool]:
        """Return the first rows of an answer, and whether there are more."""
        found: list[Row] = []
        async with aclosing(self.stream(request, given, PATIENCE)) as rows:
            async for row in rows:
                if len(found) == most:
                    return found, True
                found.append(row)
        return found, False

    async def ask(self, request: str, given: Row) -> Row:
        """Return what `done` says."""
        async with aclosing(self._messages(request, given, PATIENCE)) as messages:
            async for kind, said in messages:
                if kind == "done":
                    return said
        raise self._gone()

    async def stream(
        self, request: str, given: Row, patience: float | None = None
    ) -> AsyncGenerator[Row, None]:
        """Yield the rows of an answer, which may never end. `patience` is for each of them, in seconds."""
        async with aclosing(self._messages(request, given, patience)) as messages:
            async for kind, said in messages:
                if kind == "row":
                    yield said

    async def _messages(
        self, request: str, given: Row, patience: float | None
    ) -> AsyncGenerator[tuple[str, Row], None]:
        path = self.path
        try:
            # `asyncio.wait_for` of Python 3.11 may ignore that its task is cancelled, if what it waits for is just ready.
            async with asyncio.timeout(PATIENCE):
                opened = asyncio.open_unix_connection(path, limit=LONGEST_ANSWER)
                reader, writer = await opened
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or "it does not answer"
            text = f"cannot use the control socket {path}: {reason}"
            raise UnreachableError(text) from None
        try:
            writer.write(line({"ipmasq": VERSION, "request": request, "arguments": given}))
            kind = "row"
            while kind == "row":
                async with asyncio.timeout(patience):
                    received = await reader.readline()
                kind, said = self._read(received)
                yield kind, said
        except (OSError, TimeoutError):
            raise self._gone() from None
        finally:
            with suppress(OSError):
                writer.close()

    def _read(self, text: bytes) -> tuple[str, Row]:
        if not text.endswith(b"\n"):
            raise self._gone()
        ((kind, said),) = json.loads(text).items()
        if kind == "error":
            known = Kind(said["kind"]) if said["kind"] in list(Kind) else Kind.FAILED
            raise RequestError(known, said["message"], tuple(said["details"]))
        return kind, said

    def _gone(self) -> UnreachableError:
        return UnreachableError(f"the gateway at {self.path} does not answer")
