"""Clients that are slow, hostile, rude or simply many: packets do not wait for any of them."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from ipmasq.control import connection, server
from ipmasq.control.answer import Answer, Pause, Peer
from ipmasq.control.client import Client, UnreachableError
from ipmasq.control.protocol import MAX_REQUEST, VERSION, Row
from ipmasq.control.server import Access, Server, SocketError, check_access, remove_dead
from ipmasq.gateway.loop import Loop
from tests.control.running import Running, running

MILLION = 1_000_000
ROW: Row = {"id": 1, "inside": {"address": "10.0.0.2", "port": 40000}, "text": "x" * 60}


def ask(link: socket.socket, request: str) -> None:
    link.sendall(json.dumps({"ipmasq": VERSION, "request": request}).encode() + b"\n")


class Counted:
    """A server whose answers are counted, turned by hand: one round of the loop at a time."""

    def __init__(self, path: Path, rows: int) -> None:
        self.loop = Loop()
        self.rows = rows
        self.steps = 0
        self.path = str(path)
        self.server = Server(self.loop, self.answer, Access(path))
        self.server.open()

    def answer(self, name: str, arguments: dict[str, object], peer: Peer) -> Answer:
        def steps() -> Generator[Row | Pause, None, Row | None]:
            for _ in range(self.rows):
                self.steps += 1
                yield Pause.LOOKED if name == "nothing" else ROW
            return None

        return steps()

    def connect(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX)
        link.connect(self.path)
        link.setblocking(False)
        self.round()
        return link

    def round(self) -> int:
        """One round; how many steps of answers were made in it."""
        before = self.steps
        self.loop.later(0.001, lambda: None)
        self.loop.round()
        return self.steps - before

    def rounds(self, enough: Callable[[], bool]) -> Iterator[int]:
        """Rounds until it is enough."""
        deadline = time.monotonic() + 120
        while not enough():
            assert time.monotonic() < deadline
            yield self.round()


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    counted = Counted(tmp_path / "control.sock", MILLION)
    yield counted
    counted.server.close()


def kept_for_clients(server: Server) -> int:
    return sum(len(each._in) + len(each._out) for each in server._clients.values())


def test_a_million_rows_are_made_in_slices_and_never_kept(counted: Counted):
    link, lines, most, kept = counted.connect(), 0, 0, 0
    ask(link, "rows")
    last = b""

    def is_over() -> bool:
        nonlocal lines, last
        with suppress(BlockingIOError):
            while chunk := link.recv(1 << 20):
                lines += chunk.count(b"\n")
                last = chunk
        return last.endswith(b'{"done":{"rows":1000000}}\n')

    for steps in counted.rounds(is_over):
        most = max(most, steps)
        kept = max(kept, kept_for_clients(counted.server))
    assert lines == MILLION + 1
    assert most <= connection.SLICE
    assert kept <= connection.ENOUGH + connection.SLICE * 200


def test_looking_for_what_is_not_there_is_cut_into_slices_too(counted: Counted):
    link = counted.connect()
    ask(link, "nothing")
    most = max(counted.rounds(lambda: counted.steps == MILLION))
    assert most <= connection.SLICE


def test_many_listings_at_once_get_one_slice_a_round_between_them(counted: Counted):
    with ExitStack() as stack:
        links = [stack.enter_context(counted.connect()) for _ in range(20)]
        for link in links:
            ask(link, "nothing")
        most = max(counted.rounds(lambda: counted.steps > 100_000))
        assert counted.server.clients == 20
    assert most <= connection.SLICE


def test_for_a_client_that_never_reads_only_so_much_is_made(counted: Counted):
    link = counted.connect()
    ask(link, "rows")
    idle = 0

    def has_stopped() -> bool:
        return idle > 20

    for steps in counted.rounds(has_stopped):
        idle = idle + 1 if steps == 0 and counted.steps else 0
    assert counted.steps < 5000
    assert kept_for_clients(counted.server) < 2 * connection.ENOUGH


def test_requests_are_not_read_for_ever_while_one_is_answered(counted: Counted):
    link, sent, stuck = counted.connect(), 0, 0
    while stuck < 50 and sent < 100_000_000:
        before = counted.steps
        try:
            sent += link.send(b'{"ipmasq": 1, "request": "rows"}\n' * 1000)
        except BlockingIOError:
            stuck += counted.steps == before
        counted.round()
    assert counted.steps > 0
    assert sent < 2_000_000
    assert kept_for_clients(counted.server) < 2 * MAX_REQUEST + 2 * connection.ENOUGH


def test_a_hundred_megabytes_without_a_newline_are_not_listened_to(gateway: Running):
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(gateway.path)
        sent = 0
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100_000_000:
                sent += link.send(b"x" * 65536)
        assert sent < 2_000_000
        said = b""
        with suppress(ConnectionResetError):
            while chunk := link.recv(65536):
                said += chunk
    if said:  # it may be gone with the reset
        assert json.loads(said)["error"]["kind"] == "malformed"
    with Client(gateway.path) as client:
        assert client.ask("forwards") == {"rows": 1}


@pytest.mark.parametrize("garbage", [b"\0" * 5000 + b"\n", b"GET / HTTP/1.1\r\n\r\n", b"\n" * 9000])
def test_after_garbage_others_are_answered(gateway: Running, garbage: bytes):
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(gateway.path)
        link.sendall(garbage)
        with Client(gateway.path) as client:
            assert client.ask("forwards") == {"rows": 1}


def test_empty_lines_are_ignored(gateway: Running):
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(gateway.path)
        link.sendall(b"\n\n  \n" * 3000)
        ask(link, "forwards")
        assert b'"row"' in link.makefile("rb").readline()


def test_of_a_thousand_connections_only_so_many_are_kept(gateway: Running):
    with ExitStack() as stack:
        answers = []
        for _ in range(1000):
            link = stack.enter_context(socket.socket(socket.AF_UNIX))
            link.settimeout(20)
            link.connect(gateway.path)
            if len(answers) < server.MOST_CLIENTS:
                answers.append(b"kept")
            else:
                answers.append(link.recv(1000))
        assert gateway.control.server.clients == server.MOST_CLIENTS
    assert all(
        json.loads(said)["error"]["kind"] == "busy" for said in answers[server.MOST_CLIENTS :]
    )
    with Client(gateway.path) as client:  # they have hung up
        deadline = time.monotonic() + 20
        while gateway.control.server.clients > 1 and time.monotonic() < deadline:
            list(client.rows("forwards"))
    assert gateway.control.server.clients <= 1


def test_who_makes_no_move_gives_way_when_all_places_are_taken(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "PATIENCE", 0.0)
    with ExitStack() as stack:
        idle = [stack.enter_context(counted.connect()) for _ in range(server.MOST_CLIENTS + 3)]
        for _ in range(200):
            counted.round()
        assert counted.server.clients == server.MOST_CLIENTS
        for link in idle[:3]:
            assert link.recv(100) == b""  # the oldest ones were closed
        with pytest.raises(BlockingIOError):
            idle[-1].recv(100)


def test_a_client_that_hangs_up_in_the_middle_is_forgotten(counted: Counted):
    link = counted.connect()
    ask(link, "rows")
    for _ in counted.rounds(lambda: counted.steps > 200):
        pass
    link.close()
    for _ in counted.rounds(lambda: counted.server.clients == 0):
        pass


def test_a_silent_watcher_that_hangs_up_is_forgotten(gateway: Running):
    client = Client(gateway.path)
    client.watch()
    deadline = time.monotonic() + 20
    # Taken as a whole: the gateway admits clients meanwhile, in its own thread.
    while not any(each.waiting for each in list(gateway.control.server._clients.values())):
        assert time.monotonic() < deadline
    client.close()
    while gateway.control.server.clients:
        assert time.monotonic() < deadline


def test_an_answer_that_fails_says_so_and_the_connection_goes_on(tmp_path: Path):
    with running(tmp_path / "s") as gateway, Client(gateway.path) as client:
        gateway.gateway.status = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        with pytest.raises(Exception, match="the gateway failed to answer"):
            client.ask("status")
        assert client.ask("forwards") == {"rows": 1}


# -- the socket itself


@pytest.mark.row("A-40")
def test_the_socket_is_roots_alone_unless_the_operator_says_otherwise(tmp_path: Path):
    with running(tmp_path / "a"), running(tmp_path / "b", mode=0o660, group=str(os.getegid())):
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o660
        assert (tmp_path / "b").stat().st_gid == os.getegid()


def test_the_socket_is_gone_when_the_gateway_is(tmp_path: Path):
    with running(tmp_path / "deep" / "down" / "s") as gateway:
        assert Path(gateway.path).is_socket()
    assert not Path(gateway.path).exists()


def test_a_socket_that_a_crash_left_behind_is_replaced(tmp_path: Path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    with pytest.raises(UnreachableError, match="nobody serves"):
        Client(str(path))
    with running(path), Client(str(path)) as client:
        assert client.ask("forwards") == {"rows": 1}


def open_server(path: Path, **access: Any) -> None:
    Server(Loop(), lambda *_: (_ for _ in ()), Access(path, **access)).open()


def test_the_socket_of_another_gateway_is_left_alone(gateway: Running):
    with pytest.raises(SocketError, match="another gateway serves it"):
        open_server(Path(gateway.path))
    with Client(gateway.path) as client:
        assert client.ask("forwards") == {"rows": 1}


def test_a_socket_with_as_many_waiting_as_it_takes_is_served_all_the_same(tmp_path: Path):
    path = tmp_path / "control.sock"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(1)
        with suppress(BlockingIOError):
            for _ in range(10):
                link = stack.enter_context(socket.socket(socket.AF_UNIX))
                link.setblocking(False)
                link.connect(str(path))
        remove_dead(path)
        assert path.exists()
        with pytest.raises(SocketError, match="another gateway serves it"):
            check_access(Access(path))
    remove_dead(path)
    assert not path.exists()
    remove_dead(path)


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path):
    (tmp_path / "s").write_text("precious")
    with pytest.raises(SocketError, match="something else"):
        open_server(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "access", "reason"),
    [
        ("x" * 200, {}, "too long"),
        ("s", {"group": "no-such-group"}, "there is no group 'no-such-group'"),
    ],
)
def test_a_socket_that_cannot_be_served_is_one_sentence(
    tmp_path: Path, name: str, access: dict[str, Any], reason: str
):
    with pytest.raises(SocketError, match=reason):
        open_server(tmp_path / name, **access)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nowhere", "x" * 200])
def test_where_no_gateway_is_a_client_says_so(tmp_path: Path, name: str):
    with pytest.raises(UnreachableError, match="control socket"):
        Client(str(tmp_path / name))


def test_what_the_socket_would_fail_of_is_known_before(gateway: Running, tmp_path: Path):
    with pytest.raises(SocketError, match=r"another gateway serves it, which is running already"):
        check_access(Access(Path(gateway.path)))
    with pytest.raises(SocketError, match="no group 'no-such-group'"):
        check_access(Access(tmp_path / "new", group="no-such-group"))
    (tmp_path / "file").write_text("")
    with pytest.raises(SocketError, match=r"Not a directory|File exists"):
        check_access(Access(tmp_path / "file" / "s"))
    check_access(Access(tmp_path / "dir" / "s"))
    assert not (tmp_path / "dir" / "s").exists()
