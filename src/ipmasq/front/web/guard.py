"""Who may use the pages, and what every answer says about them. Refusals come before anything else is done.

Against other origins: the name in `Host` must be one of ours (DNS rebinding), a request that another page makes is
refused (Fetch Metadata, `Origin`), and pages may load nothing from elsewhere (Content-Security-Policy). Against other
people: a token, in a header or exchanged for a cookie by a form; it is never part of an address.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "ipmasq"

SHORTEST_TOKEN = 16
"""Characters of a token; 16 of an alphabet of 64 are 96 bits."""

SESSIONS = 100
"""Sessions that are kept; the oldest one ends for a new one."""

LARGEST_BODY = 16_384
"""Bytes."""

LARGEST_CAPTURE = 16 << 20
"""Bytes of a capture that is to be replayed."""

REPLAY = "/api/replay"

LARGEST_HEAD = 16_384
"""Bytes of the address and the headers."""

WRONG_TOKEN_DELAY = 0.5
"""Seconds until a wrong token is answered."""

OPEN = ("/login", "/style.css", "/icon.svg")
"""What can be had without a token."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without it, the origin of a form would be hidden from us
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass
class Rules:
    hosts: frozenset[str]
    """Names and addresses by which browsers may reach the pages, without ports."""
    token: str | None = None
    """None: none is needed."""
    _sessions: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def begin_session(self) -> str:
        """Return the value of a new cookie."""
        made = secrets.token_urlsafe(32)
        self._sessions[made] = None
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return made

    def knows(self, headers: Headers) -> bool:
        """Return whether a request comes with the token or a cookie of ours."""
        if self.token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return True
        return any(compare_digest(each, _cookie(headers)) for each in self._sessions)

    def is_token(self, given: str) -> bool:
        return self.token is not None and compare_digest(given.encode(), self.token.encode())


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        answer = _with_headers(send)
        if refusal is not None:
            await refusal(scope, receive, answer)
            return
        await self._app(scope, _bounded(receive, _largest(scope)), answer)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if _size(scope) > LARGEST_HEAD:
            return refused(431, f"a request's head has at most {LARGEST_HEAD} bytes")
        if _name(headers.get("host", "")) not in self._rules.hosts:
            return refused(421, "this name does not belong to these pages (see --host)")
        if _is_foreign(scope, headers):
            return refused(403, "requests of other pages are refused")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 9):
            return refused(400, "this is not a length")
        if int(length) > _largest(scope):
            return refused(413, f"a request has at most {_largest(scope):,} bytes")
        if scope["path"] in OPEN or self._rules.knows(headers):
            return None
        if scope["path"] == "/" and scope["method"] == "GET":
            return RedirectResponse("/login", 303)
        return refused(401, "a token is needed")


class TooLargeError(Exception):
    """More of a request came than is accepted."""


def refused(status: int, message: str) -> Response:
    return JSONResponse({"error": {"kind": "refused", "message": message}}, status)


async def delay() -> None:
    """Wait before a wrong token is answered."""
    await asyncio.sleep(WRONG_TOKEN_DELAY)


def _largest(scope: Scope) -> int:
    """Return how many bytes the body of a request may have."""
    return LARGEST_CAPTURE if scope["path"] == REPLAY else LARGEST_BODY


def _size(scope: Scope) -> int:
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + len(scope["raw_path"]) + len(scope["query_string"])


def _name(host: str) -> str:
    """Return the name or address in a `Host` header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_foreign(scope: Scope, headers: Headers) -> bool:
    """Return whether another page made this request. A link on another page to our first page is none. A request that
    changes something needs an `Origin`, unless it has a token in a header, which no other page can send."""
    if (origin := headers.get("origin")) is not None:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    if scope["method"] not in ("GET", "HEAD"):
        return "authorization" not in headers
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return headers.get("sec-fetch-mode") != "navigate" or scope["path"] not in ("/", "/login")


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None and found.value.isascii() else ""


def _with_headers(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return answer


def _bounded(receive: Receive, largest: int) -> Receive:
    """Raise TooLargeError if more comes than its length said, or no length was said."""
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > largest:
            raise TooLargeError
        return message

    return bounded
