"""Serving the pages: which address, which token, and how patient the server is with a client."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ipmasq.front.web.connections import Connections
from ipmasq.front.web.guard import HEADERS, LARGEST_HEAD, LOCAL, SHORTEST_TOKEN
from ipmasq.front.web.seldom import quieten
from ipmasq.front.web.sessions import Rules

REQUEST_TIME = 10.0
"""Seconds until a request must be complete,"""

PROGRESS = 100_000
"""or must have grown by so many bytes, as that with a capture does."""

UNREAD = 20.0
"""Seconds for which a client may leave unread what it was sent."""

AT_ONCE = 16
"""Connections that are accepted in one turn of the event loop: fewer than displace one (`connections.MOST_PER_ADDRESS`)
before its request is read, which is there by then."""

BACKLOG = 1024
"""Connections that wait to be accepted; one more would have to try again after a second."""


class WebError(Exception):
    """The pages cannot be served like this. The message is for the operator."""


class Impatient(H11Protocol):
    """Closes a connection whose request is not complete in time, or whose answer is not read; uvicorn limits only the
    time between requests."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _grown = 0
    """Bytes that have come since the deadline was set."""

    def __init__(self, among: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._among = among
        self.app_state = {**self.app_state, "admit": lambda: among.admit(self)}

    @property
    def is_idle(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def abort(self) -> None:
        self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()
        self._among.add(self, self.client[0] if self.client else "")

    def data_received(self, data: bytes) -> None:
        self._grown += len(data)
        super().data_received(data)
        if not self.is_idle and not self.cycle.more_body:
            self._watch()

    def _watch(self) -> None:
        """Read on after a complete request, although what comes waits for the answer: or it would not be noticed that
        the client has gone."""
        waiting, _ = self.conn.trailing_data
        if len(waiting) > LARGEST_HEAD:
            self.transport.abort()
        else:
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._deadline, self._unread):
            if timer is not None:
                timer.cancel()
        self._among.remove(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer has begun, or was given
            return
        if self.cycle is not None:  # the application has not answered yet, and may not any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        said = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close", **HEADERS}
        start = h11.Response(status_code=400, headers=list(said.items()), reason=b"Bad Request")
        for event in (start, h11.Data(data=msg.encode("ascii")), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _expect(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._grown = 0
        self._deadline = self.loop.call_later(REQUEST_TIME, self._late)

    def _late(self) -> None:
        cycle: Any = self.cycle
        is_open = cycle is not None and not cycle.response_complete
        if is_open and not cycle.more_body:
            return  # it is complete, and being answered
        if is_open and self._grown >= PROGRESS:
            self._expect()
        else:
            self.transport.close()


class Server(uvicorn.Server):
    """Lets more connections wait than are accepted at once; asyncio has one number for both."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in (each for server in self.servers for each in server.sockets):
            with socket.socket(fileno=os.dup(listening.fileno())) as same:
                same.listen(BACKLOG)


def endpoint(text: str) -> tuple[str, int]:
    """Return address and port of `127.0.0.1:8470` or `[::1]:8470`. Raises WebError."""
    address, _, port = text.rpartition(":")
    address = address.strip("[]")
    try:
        ip_address(address)
    except ValueError:
        raise WebError(f"{text} is not an address and a port, such as 127.0.0.1:8470") from None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise WebError(f"{text} has no port, a number to 65535")
    return address, int(port)


def rules(address: str, hosts: tuple[str, ...], token: str | None) -> Rules:
    """Return who may use the pages at this address."""
    names = {name.lower().strip("[]") for name in hosts}
    if ip_address(address).is_loopback:
        names |= LOCAL
    if not ip_address(address).is_unspecified:
        names.add(address)
    return Rules(frozenset(names), token)


def token(file: Path | None, address: str, allows_changes: bool) -> tuple[str | None, bool]:
    """Return the token, and whether it was made here since one is needed and there is no file. Raises WebError."""
    if file is not None:
        # Any bytes are text in this encoding, so that a token that is not ASCII is refused here.
        found = file.read_text(encoding="latin-1").strip()
        if len(found) < SHORTEST_TOKEN or not found.isascii():
            raise WebError(f"{file}: a token has at least {SHORTEST_TOKEN} characters of ASCII")
        return found, False
    if ip_address(address).is_loopback and not allows_changes:
        return None, False
    return secrets.token_urlsafe(24), True


def listener(address: str, port: int) -> socket.socket:
    """Return a socket to which browsers can connect until it is closed. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=BACKLOG)


def server(app: Any, address: str, port: int) -> uvicorn.Server:
    """Return a server that is not running yet."""
    quieten()
    config = uvicorn.Config(
        app,
        host=address,
        port=port,
        http=partial(Impatient, Connections()),  # type: ignore[arg-type]
        ws="none",
        loop="asyncio",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=AT_ONCE,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=LARGEST_HEAD,
    )
    return Server(config)
