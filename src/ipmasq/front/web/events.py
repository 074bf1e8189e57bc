"""The stream of server-sent events (HTML Living Standard, 9.2) of one browser."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import aclosing, contextmanager, suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ipmasq.front.web.feed import Feed, Message
from ipmasq.front.web.guard import refused
from ipmasq.front.web.presence import until_gone
from ipmasq.front.web.sessions import ANYBODY, TOKEN, Rules

ALIVE = 15.0
"""Seconds without a message after which a comment is sent, so that a connection that is gone is noticed."""

CHECK = 1.0
"""Seconds between two looks at whether a session has ended."""

MEDIA_TYPE = "text/event-stream; charset=utf-8"

MOST_STREAMS = 32

MOST_PER_SESSION = 8
"""Of these, the most for one session,"""

MOST_BY_TOKEN = 16
"""and for all that send the token in a header."""


class Events:
    def __init__(self, feed: Feed, rules: Rules) -> None:
        self._feed = feed
        self._rules = rules
        self._streams: Counter[str] = Counter()
        """Of each client."""

    async def answer(self, request: Request) -> Response | Stream:
        """Return a stream that begins after the message that the browser has seen last."""
        client = request.state.client
        if request.method == "HEAD":
            return Response(media_type=MEDIA_TYPE)
        if not self._has_room(client):
            return refused(503, "too many browsers are connected already")
        position = self._feed.position(request.headers.get("last-event-id"))
        return Stream(self, self._feed, position, client)

    def _has_room(self, client: str) -> bool:
        shares = {ANYBODY: MOST_STREAMS, TOKEN: MOST_BY_TOKEN}
        has_share = self._streams[client] < shares.get(client, MOST_PER_SESSION)
        return has_share and self._streams.total() < MOST_STREAMS

    @contextmanager
    def counted(self, client: str) -> Iterator[None]:
        self._streams[client] += 1
        try:
            yield
        finally:
            self._streams[client] -= 1
            self._streams = +self._streams

    async def until_ended(self, client: str) -> None:
        """Return when the client's session has ended."""
        while self._rules.is_current(client):
            await asyncio.sleep(CHECK)


class Stream:
    """An ASGI application that sends messages until the browser has gone or its session has ended."""

    def __init__(self, events: Events, feed: Feed, number: int, client: str) -> None:
        self._events = events
        self._feed = feed
        self._number = number
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._events.counted(self._client):
            sending = asyncio.ensure_future(self._send(send))
            gone = asyncio.ensure_future(until_gone(receive))
            ended = asyncio.ensure_future(self._events.until_ended(self._client))
            try:
                # Cancelled when the server ends.
                with suppress(asyncio.CancelledError):
                    all_ = (sending, gone, ended)
                    await asyncio.wait(all_, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (sending, gone, ended):
                    each.cancel()
                await asyncio.gather(sending, gone, ended, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", MEDIA_TYPE.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _say(send, b"retry: 1000\n\n")
        async with aclosing(self._feed.messages(self._number)) as messages:
            coming = asyncio.ensure_future(anext(messages))
            try:
                while True:
                    done, _ = await asyncio.wait((coming,), timeout=ALIVE)
                    if done:
                        text, coming = (
                            _text(self._feed.name, coming.result()),
                            asyncio.ensure_future(anext(messages)),
                        )
                    else:
                        text = b": alive\n\n"
                    await _say(send, text)
            finally:
                coming.cancel()
                with suppress(asyncio.CancelledError):
                    await coming


async def _say(send: Send, text: bytes) -> None:
    """Send text when the browser has read most of what came before; see `serving.Impatient`."""
    await send({"type": "http.response.body", "body": text, "more_body": True})


def _text(name: str, messages: Iterable[Message]) -> bytes:
    lines = (
        f"id: {name}-{each.number}\nevent: {each.kind}\ndata: {each.data}\n\n" for each in messages
    )
    return "".join(lines).encode("ascii")
