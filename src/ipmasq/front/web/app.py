"""The web application: the pages, what they ask, and the stream of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ipmasq.continuity.scratch import sweep
from ipmasq.front.upstream import Upstream
from ipmasq.front.web.api import Api
from ipmasq.front.web.events import Events
from ipmasq.front.web.feed import Feed
from ipmasq.front.web.guard import (
    LARGEST_CAPTURE,
    REPLAY,
    Guard,
    TooLargeError,
    bad_request,
    delay,
    refused,
)
from ipmasq.front.web.presence import while_connected
from ipmasq.front.web.replays import Replays
from ipmasq.front.web.sessions import SESSION_TIME, Rules

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

FIRST, LOGIN = "/index.html", "/login.html"
PLACE, WRONG = b"<!-- wrong -->", b'<p class="bad" role="alert">This is not the token.</p>'
"""What the form says after a wrong token, and where."""


def make_app(upstream: Upstream, rules: Rules, allows_changes: bool) -> ASGIApp:
    """Return the application. While it runs it follows the gateway."""
    feed = Feed(upstream)
    api, events, pages = (
        Api(upstream, allows_changes),
        Events(feed, rules),
        Pages(allows_changes, rules),
    )
    replays = Replays(upstream, api.changes)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sweep()
        following = asyncio.ensure_future(feed.run())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    async def unusable(_: Request, error: Exception) -> Response:
        return bad_request(error)

    app = Starlette(
        routes=[
            Route("/api/events", events.answer),
            Route("/api/view/{name}", api.view),
            Route("/api/change/{name}", api.change, methods=["POST"]),
            Route(REPLAY, replays.take, methods=["POST"]),
            Route("/replay/{name}", replays.page),
            Route("/login", pages.login, methods=["GET", "POST"]),
            Route("/logout", pages.logout, methods=["POST"]),
            Route("/{path:path}", pages.page),
        ],
        exception_handlers={TooLargeError: unusable, ClientDisconnect: unusable},
        lifespan=lifespan,
    )
    return Guard(app, rules)


class Pages:
    """The files of the pages, read once: no request names a file of this machine."""

    def __init__(self, allows_changes: bool, rules: Rules) -> None:
        self._rules = rules
        self._files = dict(_read(files("ipmasq.front.web") / "pages", ""))
        settings = {
            "changes": allows_changes,
            "token": rules.token is not None,
            "largest_capture": LARGEST_CAPTURE,
        }
        self._files["/settings.js"] = f"export const settings = {json.dumps(settings)};\n".encode()

    async def page(self, request: Request) -> Response:
        path = request.scope["path"] if request.scope["path"] != "/" else FIRST
        if path not in self._files:
            return refused(404, "there is no such page")
        return self._answer(path)

    async def login(self, request: Request) -> Response:
        """Exchange the token for a cookie."""
        if request.method == "GET":
            return self._answer(LOGIN)
        try:
            given = parse_qs((await request.body()).decode("latin-1"), max_num_fields=4)
        except ValueError:
            return refused(400, "the form has a token alone")
        if not self._rules.is_token(given.get("token", [""])[0]):
            await while_connected(request.receive, delay(request.scope))
            return self._answer(LOGIN, 401, WRONG)
        done = RedirectResponse("/", 303)
        done.set_cookie(
            self._rules.cookie, self._rules.begin_session(), SESSION_TIME, **_kind(request)
        )
        return done

    async def logout(self, request: Request) -> Response:
        """End the session of this cookie."""
        self._rules.end_session(request.state.client)
        done = RedirectResponse("/login", 303)
        done.delete_cookie(self._rules.cookie, **_kind(request))
        return done

    def _answer(self, path: str, status: int = 200, said: bytes = b"") -> Response:
        kind = TYPES["." + path.rpartition(".")[2]]
        headers = {"Content-Type": kind, "Cache-Control": "no-cache"}
        return Response(self._files[path].replace(PLACE, said), status, headers)


def _kind(request: Request) -> dict[str, Any]:
    """Return the attributes of a cookie. The browser, or a proxy that has the certificate, says whether TLS is used."""
    origin = request.headers.get("origin", "").lower()
    forwarded = request.headers.get("x-forwarded-proto", "").lower()
    secure = "https" in (origin.partition(":")[0], forwarded, request.scope["scheme"])
    return {"httponly": True, "samesite": "strict", "secure": secure}


def _read(directory: Traversable, above: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in directory.iterdir():
        path = f"{above}/{each.name}"
        if each.is_dir():
            found += _read(each, path)
        elif "." + each.name.rpartition(".")[2] in TYPES:
            found.append((path, each.read_bytes()))
    return found
