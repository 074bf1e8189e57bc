"""HTTP as far as a scrape needs it (RFC 9112): the head of a request, and one answer after which the
connection is closed."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

LONGEST = 8192
"""Bytes of a request's head."""

PATH = "/metrics"


class BadRequestError(Exception):
    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Request(NamedTuple):
    accept: str
    wants_body: bool
    """Whether it is GET and not HEAD."""


def read(received: bytes) -> Request | None:
    """Return the request, or None if its head is not complete. Raises BadRequestError."""
    head, end, _ = received.partition(b"\r\n\r\n")
    if not end:
        if len(received) >= LONGEST:
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    match first.split(" "):
        case [method, target, version] if version.startswith("HTTP/1."):
            pass
        case _:
            raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if method not in ("GET", "HEAD"):
        raise BadRequestError(HTTPStatus.METHOD_NOT_ALLOWED)
    if target.partition("?")[0] != PATH:
        raise BadRequestError(HTTPStatus.NOT_FOUND)
    return Request(_accepted(lines), method == "GET")


def _accepted(lines: list[str]) -> str:
    """Return the value of `Accept`, which may be in several fields (RFC 9110, 5.2)."""
    fields = (line.partition(":") for line in lines)
    return ",".join(value for name, _, value in fields if name.strip().lower() == "accept")


def answer(status: HTTPStatus, content_type: str, content: bytes, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + (content if with_body else b"")


def refusal(status: HTTPStatus) -> bytes:
    text = f"{status.phrase}; the metrics are at {PATH}\n"
    return answer(status, "text/plain; charset=utf-8", text.encode())
