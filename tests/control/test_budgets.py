"""What one user may have of the control socket, whatever it does with it (as root: with real users)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from ipmasq.control import connection, server
from tests.control.test_server import Counted, ask

ROOT, ATTACKER, MEMBER, OTHER, ANOTHER = 0, 1001, 1002, 1003, 1004

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="to be several users one must be root")


class Shared(Counted):
    """A server that everybody may use; who connects says as whom."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, rows=1)
        os.chmod(path, 0o666)
        self.links = ExitStack()

    def connect_as(self, user: int) -> socket.socket:
        with acting_as(user):
            return self.links.enter_context(self.connect_only())

    def connect_only(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX)
        link.connect(self.path)
        link.setblocking(False)
        return link

    def come(self, user: int, count: int = 1) -> list[socket.socket]:
        """Connect so many, and let each be accepted."""
        links = []
        for _ in range(count):
            links.append(self.connect_as(user))
            self.round()
        self.round()
        return links

    def is_answered(self, link: socket.socket) -> bool:
        try:
            ask(link, "rows")
        except OSError:
            return False
        for _ in range(10):
            self.round()
        try:
            return b"done" in link.recv(1 << 16)
        except BlockingIOError:
            return False

    def held(self, user: int) -> int:
        return sum(each.peer.user == user for each in self.server._clients.values())


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    """The kernel notes who connects (SO_PEERCRED)."""
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    for each in (tmp_path, *tmp_path.parents):
        if each.is_relative_to("/tmp") and each != Path("/tmp"):
            each.chmod(0o755)
    shared = Shared(tmp_path / "control.sock")
    yield shared
    shared.links.close()
    shared.server.close()


@needs_root
@pytest.mark.row("A-40")
def test_dripping_clients_of_one_user_keep_nobody_else_out(shared: Shared) -> None:
    links = []
    for _ in range(56):
        links += shared.come(ATTACKER)
        for link in links:
            try:
                link.send(b"{")
            except OSError:
                continue  # this one had to go
        shared.round()
    assert shared.held(ATTACKER) == server.MOST_PER_USER
    for user in (MEMBER, OTHER, ROOT):
        assert shared.is_answered(shared.come(user)[0])


@needs_root
def test_of_the_user_who_holds_most_one_gives_way(shared: Shared) -> None:
    crowds = (ATTACKER, 1005, 1006)
    for user in crowds:
        shared.come(user, server.MOST_PER_USER)
    shared.come(MEMBER, 8)
    assert shared.server.clients == server.MOST_CLIENTS - server.KEPT_FREE
    for _ in range(4):  # each finds a place, and it costs those who hold most
        assert shared.is_answered(shared.come(OTHER)[0])
    assert (shared.held(OTHER), shared.held(MEMBER)) == (4, 8)
    assert sum(map(shared.held, crowds)) == 3 * server.MOST_PER_USER - 4


@needs_root
def test_whoever_holds_most_pushes_nobody_out(shared: Shared) -> None:
    for user in (MEMBER, OTHER, ANOTHER):
        shared.come(user, 13)
    shared.come(ATTACKER, server.MOST_PER_USER + 20)
    assert shared.held(ATTACKER) == server.MOST_PER_USER
    assert [shared.held(user) for user in (MEMBER, OTHER, ANOTHER)] == [13, 13, 13]


@needs_root
def test_ones_own_silent_clients_give_way_to_ones_next(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.come(MEMBER, server.MOST_PER_USER)
    assert not shared.is_answered(shared.come(MEMBER)[0])
    monkeypatch.setattr(server, "PATIENCE", 0.0)
    assert shared.is_answered(shared.come(MEMBER)[0])
    assert shared.held(MEMBER) == server.MOST_PER_USER


def test_a_request_that_is_never_complete_is_cut_off_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_TIME", 0.05)
    monkeypatch.setattr(server, "SWEEP", 0.01)
    counted = Counted(tmp_path / "s", 1)
    with counted.connect() as drips, counted.connect() as silent:
        for _ in counted.rounds(lambda: counted.server.clients == 1):
            with suppress(BrokenPipeError):
                drips.send(b"{")
        said = drips.recv(1000)
        assert b'"malformed"' in said
        assert b"a request must be complete within" in said
        ask(silent, "rows")  # who has begun nothing is in nobody's way
        for _ in counted.rounds(lambda: counted.steps > 0):
            pass
    counted.server.close()


def test_a_client_that_fails_keeps_no_other_from_its_answer(tmp_path: Path) -> None:
    counted = Counted(tmp_path / "s", 1)
    with counted.connect() as first, counted.connect() as second:
        ask(first, "rows")
        ask(second, "rows")
        failing = next(iter(counted.server._clients.values()))
        failing.work = lambda now: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        for _ in counted.rounds(lambda: counted.steps > 0):
            pass
    assert counted.loop.failures.count >= 1
    counted.server.close()
