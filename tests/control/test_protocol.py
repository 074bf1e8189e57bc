"""The control protocol: requests and answers as lines of JSON."""

from __future__ import annotations

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.control.protocol import VERSION, RequestError, read_request
from tests.control.running import Running
from tests.control.values import VALUES


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"[]", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 50_000, "malformed"),
        (
            b'{"ipmasq": 1, "request": "flow", "arguments": {"flow": %b7%b}}'
            % (b"[" * 900, b"]" * 900),
            "malformed",
        ),
        (b'{"request": "flows"}', "version"),
        (b'{"ipmasq": 999, "request": "flows"}', "version"),
        (b'{"ipmasq": 1}', "malformed"),
        (b'{"ipmasq": 1, "request": "flows", "arguments": 7}', "malformed"),
        (b'{"ipmasq": 1, "request": "flows", "arguments": {"host": {"a": []}}}', "bad_argument"),
        (b'{"ipmasq": 1, "request": "close", "arguments": {"flow": 1e999}}', "bad_argument"),
    ],
)
def test_what_is_no_request_is_answered_by_an_error(gateway: Running, said: bytes, kind: str):
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(gateway.path)
        link.sendall(said + b"\n")
        answer = json.loads(link.makefile("rb").readline())
    assert answer["error"]["kind"] == kind


def test_several_requests_at_once_are_answered_in_order(gateway: Running):
    gateway.open_udp()
    asked = [{"ipmasq": VERSION, "request": name} for name in ("flows", "forwards", "flows")]
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(gateway.path)
        link.sendall(b"".join(json.dumps(each).encode() + b"\n" for each in asked))
        link.shutdown(socket.SHUT_WR)  # as `printf ... | socat - UNIX:...` does
        answers = [json.loads(line) for line in link.makefile("rb")]
    assert [next(iter(answer)) for answer in answers] == ["row", "done"] * 3
    assert "name" in answers[2]["row"]


@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_request_or_an_error(text: bytes):
    try:
        name, arguments = read_request(text)
    except RequestError:
        return
    assert isinstance(name, str)
    assert isinstance(arguments, dict)
