"""The stream of server-sent events (HTML Living Standard, 9.2) of one browser."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing, suppress

from starlette.types import Receive, Scope, Send

from ipmasq.front.web.feed import Feed, Message

ALIVE = 15.0
"""Seconds without a message after which a comment is sent, so that a connection that is gone is noticed."""

MOST_STREAMS = 32


class Events:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.streams = 0

    @property
    def has_room(self) -> bool:
        return self.streams < MOST_STREAMS

    def stream(self, last_id: str | None) -> Stream:
        """Return a response that begins after this id."""
        return Stream(self, self._feed, self._feed.place(last_id))


class Stream:
    """An ASGI application that sends messages until the browser has gone."""

    def __init__(self, events: Events, feed: Feed, number: int) -> None:
        self._events = events
        self._feed = feed
        self._number = number

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._events.streams += 1
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            # Cancelled when the server ends.
            with suppress(asyncio.CancelledError):
                await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._events.streams -= 1
            sending.cancel()
            gone.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
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


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _text(name: str, messages: Iterable[Message]) -> bytes:
    lines = (
        f"id: {name}-{each.number}\nevent: {each.kind}\ndata: {each.data}\n\n" for each in messages
    )
    return "".join(lines).encode("ascii")
