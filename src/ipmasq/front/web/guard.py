"""Which requests are refused, and what every answer says about the pages. Refusals come before anything else is done.

Against other origins: the name in `Host` must be one of ours (DNS rebinding), a request that another page makes is
refused (Fetch Metadata, `Origin`, a header that only our pages can send), and pages may load nothing from elsewhere
(Content-Security-Policy). Against other people: a token, in a header or exchanged for a cookie by a form; it is never
part of an address. A request that is wrong gets a status from 400 to 499, and no line of the log for each.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ipmasq.front.web.presence import while_connected
from ipmasq.front.web.sessions import Rules

SHORTEST_TOKEN = 16
"""Characters of a token; 16 of an alphabet of 64 are 96 bits."""

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

LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))
"""Names of this machine, which browsers trust without TLS (Secure Contexts, 3.1)."""

OURS = "x-requested-with"
"""The header that our scripts send with every question."""

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


logger = logging.getLogger("ipmasq.web")


class Guard:
    """An ASGI application around another one. It tells it in the request's state whose request this is (`client`)."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return
        headers, receive = Headers(scope=scope), _bounded(receive, _largest(scope))
        try:
            refusal = self._refusal(scope, headers) or await self._stranger(scope, receive, headers)
        except (ClientDisconnect, TooLargeError) as error:
            refusal = bad_request(error)
        await (refusal or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if _size(scope) > LARGEST_HEAD:
            return refused(431, f"a request's head has at most {LARGEST_HEAD} bytes")
        if _name(headers.get("host", "")) not in self._rules.hosts:
            return refused(421, "this name does not belong to these pages (see --host)")
        if _is_foreign(scope, headers):
            return FOREIGN if self._has_credentials(scope, headers) else NO_TOKEN
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 9):
            return refused(400, "this is not a length")
        if "content-length" in headers and "transfer-encoding" in headers:
            return AMBIGUOUS
        if int(length) > _largest(scope):
            return refused(413, f"a request has at most {_largest(scope):,} bytes")
        return None

    def _has_credentials(self, scope: Scope, headers: Headers) -> bool:
        """Return whether a request could be answered if it were not of another page. A program that asks without a token is
        told of that instead."""
        asks = scope["path"].startswith("/api/") and scope["method"] in ("GET", "HEAD")
        lacks = self._rules.token is not None and not {"cookie", "authorization"} & {*headers}
        return not (asks and lacks)

    async def _stranger(self, scope: Scope, receive: Receive, headers: Headers) -> Response | None:
        """Return what is answered to a client that we do not know. Raises ClientDisconnect and TooLargeError."""
        client = scope.setdefault("state", {})["client"] = self._rules.client(headers)
        if client is not None:
            return None if scope["state"].get("admit", _always)() else FULL
        if scope["path"] in OPEN:
            return None
        if self._rules.is_guess(headers):
            await while_connected(receive, delay(scope))
        if scope["path"] == "/" and scope["method"] == "GET":
            return RedirectResponse("/login", 303)
        return NO_TOKEN


class TooLargeError(Exception):
    """More of a request came than is accepted."""


class Answer(JSONResponse):
    """JSON in ASCII: text from outside may have characters that UTF-8 has no bytes for (surrogates)."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def refused(status: int, message: str) -> Response:
    return Answer({"error": {"kind": "refused", "message": message}}, status)


NO_TOKEN = refused(401, "a token is needed")
FOREIGN = refused(403, "requests of other pages are refused")
FULL = refused(503, "too many connections are being served; try again in a moment")
AMBIGUOUS = refused(400, "a request has one length")
# A proxy may see another end of it than we do (RFC 9112, 6.1).
AMBIGUOUS.headers["Connection"] = "close"


def bad_request(error: Exception) -> Response:
    """Return what is answered to a request that is too large or did not come completely."""
    if isinstance(error, TooLargeError):
        return refused(413, "the request is too large")
    return refused(400, "the request did not come completely")


async def delay(scope: Scope) -> None:
    """Wait before a wrong token is answered."""
    logger.warning("a wrong token came from %s", (scope.get("client") or ("?",))[0])
    await asyncio.sleep(WRONG_TOKEN_DELAY)


def _always() -> bool:
    return True


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
        return _netloc(origin) != headers.get("host", "").lower()
    if scope["method"] not in ("GET", "HEAD"):
        return "authorization" not in headers
    if "sec-fetch-site" not in headers:
        return scope["path"].startswith("/api/") and not _is_ours(headers)
    if headers["sec-fetch-site"] in ("none", "same-origin"):
        return False
    return headers.get("sec-fetch-mode") != "navigate" or scope["path"] not in ("/", "/login")


def _is_ours(headers: Headers) -> bool:
    """Return whether a question without Fetch Metadata cannot be one of another page. Browsers leave these headers out
    where they do not trust the origin: plain HTTP by a name or address that is not of this machine. There our scripts
    send a header that no other page can (Fetch Standard, 4.8: it needs a preflight, which is refused)."""
    name = _name(headers.get("host", ""))
    return name in LOCAL or "authorization" in headers or headers.get(OURS) == "ipmasq"


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


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
