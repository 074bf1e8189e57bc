"""Who may use the pages: names of the host, the token, and sessions that a form begins with it."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from itertools import islice

from starlette.datastructures import Headers

MOST_SESSIONS = 100
"""Sessions that are kept; the oldest one ends for a new one."""

SESSION_TIME = 86_400
"""Seconds until a session ends."""

MOST_COOKIES = 4
"""Cookies of our name that are looked at; browsers send the one of the longest path first (RFC 6265, 5.4)."""

ANYBODY, TOKEN = "anybody", "token"
"""Clients where no token is needed, and those that send it in a header."""


@dataclass
class Rules:
    hosts: frozenset[str]
    """Names and addresses by which browsers may reach the pages, without ports."""
    token: str | None = None
    """None: none is needed."""
    cookie: str = field(default_factory=lambda: f"ipmasq-{secrets.token_hex(4)}")
    """Its name. Cookies are the same for all ports of a host (RFC 6265, 8.5), so each process has a name of its own."""
    clock: Callable[[], float] = time.monotonic
    _sessions: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """When each session ends, by the hash of its cookie: how long a look-up takes tells nothing about a cookie."""

    def begin_session(self) -> str:
        """Return the value of a new cookie."""
        made = secrets.token_urlsafe(32)
        self._sessions[_hashed(made)] = self.clock() + SESSION_TIME
        if len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return made

    def end_session(self, client: str) -> None:
        self._sessions.pop(client, None)

    def client(self, headers: Headers) -> str | None:
        """Return whose request this is: that of a session, or of whoever has the token. None: of nobody we know."""
        if self.token is None:
            return ANYBODY
        if self.is_token(_bearer(headers)):
            return TOKEN
        cookies = islice(_cookies(headers, self.cookie), MOST_COOKIES)
        return next((each for each in map(_hashed, cookies) if self.is_current(each)), None)

    def is_current(self, client: str) -> bool:
        """Return whether this client may still use the pages."""
        return client in (ANYBODY, TOKEN) or self._sessions.get(client, 0.0) > self.clock()

    def is_guess(self, headers: Headers) -> bool:
        """Return whether a request has a wrong token in its header."""
        return (
            self.token is not None and bool(given := _bearer(headers)) and not self.is_token(given)
        )

    def is_token(self, given: str) -> bool:
        return self.token is not None and compare_digest(given.encode(), self.token.encode())


def _bearer(headers: Headers) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _cookies(headers: Headers, name: str) -> Iterator[str]:
    """Yield the values of cookies of this name. This takes time in proportion to the header, whatever it says."""
    for header in headers.getlist("cookie"):
        for pair in header.split(";"):
            key, _, value = pair.partition("=")
            if key.strip() == name:
                yield value.strip()


def _hashed(cookie: str) -> str:
    return sha256(cookie.encode()).hexdigest()
