"""The web application: the pages, what they ask, and the stream of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ipmasq.front.upstream import Upstream
from ipmasq.front.web.api import Api
from ipmasq.front.web.events import Events, Stream
from ipmasq.front.web.feed import Feed
from ipmasq.front.web.guard import (
    COOKIE,
    LARGEST_CAPTURE,
    REPLAY,
    Guard,
    Rules,
    TooLargeError,
    delay,
    refused,
)
from ipmasq.front.web.replays import Replays

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

FIRST, LOGIN = "/index.html", "/login.html"


def make_app(upstream: Upstream, rules: Rules, allows_changes: bool) -> ASGIApp:
    """Return the application. While it runs it follows the gateway."""
    feed = Feed(upstream)
    api, events, pages = Api(upstream, allows_changes), Events(feed), Pages(allows_changes, rules)
    replays = Replays(upstream)

    async def stream(request: Request) -> Response | Stream:
        if not events.has_room:
            return refused(503, "too many browsers are connected already")
        return events.stream(request.headers.get("last-event-id"))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        following = asyncio.ensure_future(feed.run())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    async def too_large(_: Request, __: Exception) -> Response:
        return refused(413, "the request is too large")

    app = Starlette(
        routes=[
            Route("/api/events", stream),
            Route("/api/view/{name}", api.view),
            Route("/api/change/{name}", api.change, methods=["POST"]),
            Route(REPLAY, replays.take, methods=["POST"]),
            Route("/replay/{name}", replays.page),
            Route("/login", pages.login, methods=["GET", "POST"]),
            Route("/{path:path}", pages.page),
        ],
        exception_handlers={TooLargeError: too_large},
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
        path = request.url.path if request.url.path != "/" else FIRST
        if path not in self._files:
            return refused(404, "there is no such page")
        return self._answer(path)

    async def login(self, request: Request) -> Response:
        """Exchange the token for a cookie."""
        if request.method == "GET":
            return self._answer(LOGIN)
        given = parse_qs((await request.body()).decode("latin-1"), max_num_fields=4)
        if not self._rules.is_token(given.get("token", [""])[0]):
            await delay()
            return self._answer(LOGIN, 401)
        done = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        session = self._rules.begin_session()
        done.set_cookie(COOKIE, session, httponly=True, samesite="strict", secure=secure)
        return done

    def _answer(self, path: str, status: int = 200) -> Response:
        kind = TYPES["." + path.rpartition(".")[2]]
        headers = {"Content-Type": kind, "Cache-Control": "no-cache"}
        return Response(self._files[path], status, headers)


def _read(directory: Traversable, above: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in directory.iterdir():
        path = f"{above}/{each.name}"
        if each.is_dir():
            found += _read(each, path)
        elif "." + each.name.rpartition(".")[2] in TYPES:
            found.append((path, each.read_bytes()))
    return found
