"""One client of the socket: what it may do, and what is kept for it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from ipmasq.control.answer import Answer, Pause, Peer
from ipmasq.control.connection import ENOUGH, REQUEST_TIME, SLICE, Connection
from ipmasq.control.protocol import MAX_REQUEST, Kind, RequestError

REQUEST = b'{"ipmasq": 1, "request": "any"}\n'


class Client:
    """One end of a pair of sockets, the other end of which is a connection that answers with `steps`."""

    def __init__(self, *steps: object) -> None:
        self.link, served = socket.socketpair(socket.AF_UNIX)
        self.link.settimeout(10)
        self.steps = steps
        self.asked: list[tuple[str, dict[str, object], Peer]] = []
        self.connection = Connection(served, self.answer, 0.0)

    def answer(self, name: str, arguments: dict[str, object], peer: Peer) -> Answer:
        self.asked.append((name, arguments, peer))
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step  # type: ignore[misc]
        return None

    def say(self, text: bytes, now: float = 0.0) -> None:
        self.link.sendall(text)
        self.connection.read(now)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.connection.work(0.0)

    def heard(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.link.recv(1 << 20).splitlines()]


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client({"a": 1}, {"a": 2})
    yield client
    client.connection.close()
    client.link.close()


def test_the_peer_is_who_the_kernel_says(client: Client):
    assert client.connection.peer == Peer(os.getpid(), os.geteuid(), os.getegid())


def test_a_request_is_answered_by_its_rows_and_their_number(client: Client):
    client.say(REQUEST)
    assert client.connection.has_work
    client.turn(2)
    assert client.heard() == [{"row": {"a": 1}}, {"row": {"a": 2}}, {"done": {"rows": 2}}]
    assert [name for name, *_ in client.asked] == ["any"]
    assert not client.connection.has_work


def test_half_a_request_is_no_work_and_is_late_after_a_while(client: Client):
    client.say(REQUEST[:5], now=0.0)
    assert not client.connection.has_work
    client.say(REQUEST[5:6], now=REQUEST_TIME)
    assert not client.connection.is_late(REQUEST_TIME)
    assert client.connection.is_late(REQUEST_TIME + 0.1), "each byte is no move"
    client.say(REQUEST[6:], now=REQUEST_TIME)
    assert not client.connection.is_late(REQUEST_TIME + 0.1)


def test_a_line_that_is_too_long_is_refused_and_the_connection_ends(client: Client):
    while client.connection.wants_to_read:
        client.say(b"x" * 1000)
    client.turn()
    (said,) = client.heard()
    assert said["error"]["kind"] == Kind.MALFORMED  # type: ignore[index]
    assert client.connection.gone
    assert len(client.connection._in) <= 2 * MAX_REQUEST


def test_an_answer_goes_on_in_slices_and_waits_where_it_says_so():
    client = Client(*[Pause.LOOKED] * (SLICE + 1), Pause.WAITING, {"a": 1})
    client.say(REQUEST)
    client.turn(2)
    assert client.connection.has_work, "a slice was looked at, and there is more"
    client.turn()
    assert client.connection.waiting
    assert not client.connection.has_work
    client.connection.waiting = False
    client.turn()
    assert client.heard() == [{"row": {"a": 1}}, {"done": {"rows": 1}}]


def test_no_more_is_made_than_a_client_reads():
    client = Client(*[{"text": "x" * 1000}] * 10_000)
    client.say(REQUEST)
    for _ in range(10_000):
        if not client.connection.has_work:
            break
        client.turn()
    assert not client.connection.has_work
    assert client.connection.wants_to_write
    assert client.connection.is_awaited
    assert ENOUGH <= len(client.connection._out) < ENOUGH + 2000


@pytest.mark.parametrize(
    ("error", "kind"),
    [(RequestError(Kind.NOT_FOUND, "no"), "not_found"), (RuntimeError("oh"), "failed")],
)
def test_an_answer_that_ends_with_an_error_says_so_and_the_connection_goes_on(
    error: Exception, kind: str
):
    client = Client({"a": 1}, error)
    client.say(REQUEST + REQUEST)
    client.turn(4)
    said = client.heard()
    assert [next(iter(each)) for each in said] == ["row", "error"] * 2
    assert said[1]["error"]["kind"] == kind  # type: ignore[index]
    assert not client.connection.gone


def test_a_client_that_says_no_more_still_hears_its_answer(client: Client):
    client.say(REQUEST)
    client.link.shutdown(socket.SHUT_WR)
    client.connection.read(0.0)
    client.turn(2)
    assert len(client.heard()) == 3
    assert client.connection.gone
