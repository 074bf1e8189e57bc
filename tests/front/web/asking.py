"""Requests to the pages, as no browser would make some of them."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPResponse

from tests.front.web.serving import TOKEN, Served


def ask(
    pages: Served, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> HTTPResponse:
    """Ask with these headers: `sec_fetch_site` is `Sec-Fetch-Site`."""
    link = HTTPConnection("127.0.0.1", pages.port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    link.putrequest(method, path, skip_host="host" in named)
    if body is not None and "content-length" not in named:
        link.putheader("content-length", str(len(body)))
    for name, value in named.items():
        link.putheader(name, value)
    link.endheaders(body)
    return link.getresponse()


BEARER = {"authorization": f"Bearer {TOKEN}"}
JSON = {"content_type": "application/json"}
