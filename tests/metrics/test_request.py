"""Requests of scrapers, and of others."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.metrics.request import LONGEST, BadRequestError, Request, answer, read
from tests.metrics.running import GET


def test_a_request_is_read_once_its_head_is_complete():
    for length in range(len(GET)):
        assert read(GET[:length]) is None
    assert read(GET) == Request("", True)


def test_a_query_and_other_fields_change_nothing():
    head = (
        b"GET /metrics?name=x HTTP/1.0\r\nX: Accept: y\r\naccept: text/plain\r\nACCEPT: a/b\r\n\r\n"
    )
    assert read(head) == Request(" text/plain, a/b", True)


def test_head_wants_no_body():
    assert read(GET.replace(b"GET", b"HEAD")) == Request("", False)
    assert answer(HTTPStatus.OK, "text/plain", b"12345", False).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /metrics HTTP/2\r\n\r\n", 400),
        (b"x" * LONGEST, 431),
    ],
)
def test_anything_else_is_refused_with_its_own_status(head: bytes, status: int):
    with pytest.raises(BadRequestError) as caught:
        read(head)
    assert caught.value.status == status


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for_and_nothing_else(garbage: bytes):
    for received in (garbage, garbage + b"\r\n\r\n"):
        with suppress(BadRequestError):
            assert isinstance(read(received), Request | None)
