"""The control protocol: JSON objects, one a line, both ways (docs/control.md).

    -> {"ipmasq": 1, "request": "flows", "arguments": {"host": "10.0.0.2"}}
    <- {"row": {...}}
    <- {"row": {...}}
    <- {"done": {"rows": 2}}

A request is answered by any number of rows and then by `done` or by `error`. Requests on one connection
are answered one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

VERSION = 1
"""The version changes when an old client would misunderstand a new gateway; new requests and fields do not
count."""

SOCKET_VARIABLE = "IPMASQ_SOCKET"
"""The environment variable that names another socket to clients."""

MAX_REQUEST = 1 << 16
"""The most bytes of a request, newline included."""

DEEPEST = 8
"""The most lists and objects in one another of a request; none has more than three."""

ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
"""Made once: `json.dumps` would make one for each of a million rows."""

Row: TypeAlias = dict[str, Any]
"""One JSON object of an answer."""


class Kind(StrEnum):
    """The kind of an error, for programs; its message is for people."""

    MALFORMED = "malformed"
    """The line is not a request: no JSON, not an object, too long. The connection is closed."""
    VERSION = "version"
    """The gateway speaks another version of the protocol."""
    UNKNOWN_REQUEST = "unknown_request"
    BAD_ARGUMENT = "bad_argument"
    NOT_FOUND = "not_found"
    """The flow, forward or helper that was named does not exist."""
    REFUSED = "refused"
    """The request conflicts with the present state, such as a forward that overlaps another one."""
    FORBIDDEN = "forbidden"
    """The peer's user may not do this."""
    CONFIG = "config"
    """The configuration has mistakes, all of them in `details`."""
    BUSY = "busy"
    """There are too many connections. The connection is closed."""
    FAILED = "failed"
    """An internal error of the gateway; its log says more."""


class RequestError(Exception):
    """A request was not fulfilled. `details` has one sentence each."""

    def __init__(self, kind: Kind, message: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.details = details


def line(message: Mapping[str, object]) -> bytes:
    """A message as it goes over the socket. Only ASCII, and never a newline within."""
    return ENCODER.encode(message).encode("ascii") + b"\n"


def error_line(error: RequestError) -> bytes:
    return line({"error": {"kind": error.kind, "message": error.message, "details": error.details}})


def read_request(text: bytes) -> tuple[str, dict[str, object]]:
    """Return `(name, arguments)` of a request line. Raises RequestError, for any bytes."""
    try:
        message = json.loads(text)
        # Half of a surrogate pair ("\\ud800") cannot be encoded, so it is not valid text.
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        reason = "a request is text, and half of a surrogate pair is none"
        raise RequestError(Kind.MALFORMED, reason) from None
    except (ValueError, RecursionError):
        raise RequestError(Kind.MALFORMED, "a request is one JSON object on one line") from None
    if not isinstance(message, dict):
        raise RequestError(Kind.MALFORMED, "a request is a JSON object")
    if not _is_within(message, DEEPEST):
        reason = f"a request has at most {DEEPEST} lists and objects in one another"
        raise RequestError(Kind.MALFORMED, reason)
    if message.get("ipmasq") != VERSION:
        raise RequestError(
            Kind.VERSION,
            f"this gateway speaks version {VERSION} of the protocol; "
            f'say {{"ipmasq": {VERSION}, "request": ...}}',
        )
    name, arguments = message.get("request"), message.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise RequestError(Kind.MALFORMED, "`request` is a name and `arguments` an object")
    return name, arguments


def _is_within(value: object, levels: int) -> bool:
    """Return whether at most so many lists and objects are in one another."""
    inner = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inner, list):
        return True
    return levels > 0 and all(_is_within(each, levels - 1) for each in inner)
