"""What pages ask: requests of the control interface that are listed here, with their arguments, and no others."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ipmasq.control.client import UnreachableError
from ipmasq.control.protocol import Kind, RequestError, Row, line
from ipmasq.front.upstream import Upstream
from ipmasq.front.web import turns
from ipmasq.front.web.guard import Answer, refused
from ipmasq.front.web.presence import while_connected
from ipmasq.front.web.turns import BusyError, Turns

VIEWS: Mapping[str, tuple[str, ...]] = {
    "status": (),
    "doctor": (),
    "top": ("by", "limit"),
    "hosts": ("by", "limit"),
    "helped": (),
    "flow": ("flow",),
    "flows": ("host", "port", "protocol", "helper", "state", "source", "destination"),
    "mappings": ("host", "port", "protocol"),
    "forwards": (),
    "expectations": (),
    "helpers": (),
    "stats": (),
    "timeouts": (),
    "explain": ("flow", "protocol", "source", "destination", "side"),
}
"""Requests that change nothing, with the arguments that are passed on."""

CHANGES: Mapping[str, tuple[str, ...]] = {
    "forward_add": ("protocol", "ports", "inside", "inside_port", "public", "name"),
    "forward_remove": ("name",),
    "close": ("flow",),
}
"""Requests that are passed on if changes are allowed."""

NUMBERS = ("flow", "limit")

LONGEST_ARGUMENT = 100
"""Characters. No address, port or name is longer."""

WHOLE_TABLES = ("flows", "mappings")
"""Views for which the gateway walks through a whole table."""

MOST_ROWS = 1000

STATUS = {
    Kind.MALFORMED: 400,
    Kind.BAD_ARGUMENT: 400,
    Kind.NOT_FOUND: 404,
    Kind.REFUSED: 409,
    Kind.FORBIDDEN: 403,
    Kind.BUSY: 503,
}


class Api:
    def __init__(self, upstream: Upstream, allows_changes: bool) -> None:
        self._upstream = upstream
        self._allows_changes = allows_changes
        self._walks, self._looks = Turns(turns.WALKS), Turns(turns.LOOKS)
        self._examinations, self.changes = Turns(turns.EXAMINATIONS), Turns(turns.CHANGES)

    async def view(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in VIEWS:
            return refused(404, "there is no such view")
        given: Row = dict(request.query_params)
        if unknown := set(given) - set(VIEWS[name]):
            return refused(400, f"{name} has no {', '.join(sorted(unknown))}")
        if long := [key for key, value in given.items() if len(value) > LONGEST_ARGUMENT]:
            return refused(400, f"{', '.join(long)}: at most {LONGEST_ARGUMENT} characters")

        async def ask() -> Row:
            rows, more = await self._upstream.rows(name, _numbered(given), MOST_ROWS)
            return {"rows": rows, "more": more}

        return await _answered(request, self._turns(name), ask)

    def _turns(self, view: str) -> Turns:
        if view == "doctor":
            return self._examinations
        return self._walks if view in WHOLE_TABLES else self._looks

    async def change(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in CHANGES:
            return refused(404, "there is no such change")
        if not self._allows_changes:
            return refused(403, "these pages may change nothing: see --allow-changes")
        if request.headers.get("content-type") != "application/json":
            return refused(415, "a change is a JSON object")
        try:
            given = _object(await request.body())
        except ValueError:
            return refused(400, "a change is a JSON object")
        if unknown := set(given) - set(CHANGES[name]):
            return refused(400, f"{name} has no {', '.join(sorted(unknown))}")

        async def ask() -> Row:
            return {"done": await self._upstream.ask(name, given)}

        return await _answered(request, self.changes, ask)


async def _answered(request: Request, slots: Turns, ask: Callable[[], Awaitable[Row]]) -> Response:
    """Ask the gateway when it is the client's turn, and only as long as the client is there."""

    async def work() -> Row:
        async with slots.turn(request.state.client):
            return await ask()

    try:
        return Answer(await while_connected(request.receive, work()))
    except (RequestError, UnreachableError) as error:
        return failed(error)
    except BusyError:
        return refused(503, "the gateway is answering others; try again in a moment")


def failed(error: RequestError | UnreachableError) -> Response:
    """Return what the gateway said, or that it does not answer."""
    if isinstance(error, UnreachableError):
        return Answer({"error": {"kind": "unreachable", "message": str(error)}}, 502)
    said = {"kind": error.kind, "message": error.message, "details": error.details}
    return Answer({"error": said}, STATUS.get(error.kind, 502))


def _numbered(given: Row) -> Row:
    return {
        name: int(value) if name in NUMBERS and value.isascii() and value.isdigit() else value
        for name, value in given.items()
        if value
    }


def _object(body: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        found = json.loads(body)
        line({"arguments": found})  # the gateway knows no NaN and no infinity
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
