"""What pages ask: requests of the control interface that are listed here, with their arguments, and no others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ipmasq.control.client import UnreachableError
from ipmasq.control.protocol import Kind, RequestError, Row
from ipmasq.front.upstream import Upstream
from ipmasq.front.web.guard import refused

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

MOST_ROWS = 1000

STATUS = {
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

    async def view(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in VIEWS:
            return refused(404, "there is no such view")
        given: Row = dict(request.query_params)
        if unknown := set(given) - set(VIEWS[name]):
            return refused(400, f"{name} has no {', '.join(sorted(unknown))}")
        try:
            rows, more = await self._upstream.rows(name, _numbered(given), MOST_ROWS)
        except (RequestError, UnreachableError) as error:
            return failed(error)
        return JSONResponse({"rows": rows, "more": more})

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
        try:
            return JSONResponse({"done": await self._upstream.ask(name, given)})
        except (RequestError, UnreachableError) as error:
            return failed(error)


def failed(error: RequestError | UnreachableError) -> Response:
    """Return what the gateway said, or that it does not answer."""
    if isinstance(error, UnreachableError):
        return JSONResponse({"error": {"kind": "unreachable", "message": str(error)}}, 502)
    said = {"kind": error.kind, "message": error.message, "details": error.details}
    return JSONResponse({"error": said}, STATUS.get(error.kind, 502))


def _numbered(given: Row) -> Row:
    return {
        name: int(value) if name in NUMBERS and value.isascii() and value.isdigit() else value
        for name, value in given.items()
        if value and len(value) < 100
    }


def _object(body: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        found = json.loads(body)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
