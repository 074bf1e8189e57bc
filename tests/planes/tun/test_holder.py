"""The keeper holds descriptors while no gateway runs, and undoes what was changed if no successor comes in time."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipmasq.planes.tun import holder, keeper
from ipmasq.planes.tun.holder import Keeper

PATIENCE = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keeper"


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is made when the grace time has passed."""
    made = tmp_path / "late"
    monkeypatch.setattr(holder, "UNDO", f"open({str(made)!r}, 'w')")
    return made


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    for each in (reading, writing):
        os.close(each)


def is_held(reading: int) -> bool:
    """Whether another process still has the other end, which this process has closed."""
    try:
        return os.read(reading, 1) != b""
    except BlockingIOError:
        return True


def eventually_true(holds: object) -> bool:
    assert callable(holds)
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_what_was_changed_is_undone_although_the_socket_was_removed(
    path: Path, tmp_path: Path, late: Path
) -> None:
    first = Keeper(path, tmp_path)
    first.hold({}, 0.1)
    path.unlink()
    first.leave()
    assert eventually_true(late.exists)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_descriptors_of_a_user_with_fewer_rights_are_not_taken(path: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        os.seteuid(65534)
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        assert Keeper(path, tmp_path).take() == {}
        link, _ = listener.accept()
        with link:
            assert link.recv(100) == b"", "it was not even asked"


def test_a_successor_gets_the_descriptors_of_a_process_that_has_ended(
    path: Path, tmp_path: Path, late: Path, pipe: tuple[int, int]
) -> None:
    first = Keeper(path, tmp_path)
    first.hold({"one": pipe[1]}, 30)
    first.leave()
    second = Keeper(path, tmp_path)
    given = second.take()
    assert [*given] == ["one"]
    os.write(given["one"], b"x")
    assert os.read(pipe[0], 1) == b"x"
    second.hold(given, 30)
    os.close(given["one"])
    second.end()
    first.end()
    assert not path.exists()
    assert not late.exists()


def test_without_a_successor_everything_is_undone_when_the_grace_time_has_passed(
    path: Path, tmp_path: Path, late: Path, pipe: tuple[int, int]
) -> None:
    first = Keeper(path, tmp_path)
    first.hold({"one": pipe[1]}, 0.2)
    time.sleep(0.4)
    assert not late.exists(), "the gateway still lives"
    first.leave()
    assert eventually_true(late.exists)
    assert not path.exists()


def test_an_orderly_end_closes_the_descriptors_before_it_returns(
    path: Path, tmp_path: Path, late: Path
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    first = Keeper(path, tmp_path)
    first.hold({"one": writing}, 30)
    os.close(writing)
    assert is_held(reading)
    first.end()
    assert not is_held(reading)
    os.close(reading)
    assert not late.exists()


def test_a_keeper_whose_gateway_was_killed_before_it_gave_anything_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "UNUSED", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as gone:
            gone.connect(str(path))
        assert keeper.Keeper(listener).run()


def test_nobody_gives_nothing(path: Path, tmp_path: Path) -> None:
    assert Keeper(path, tmp_path).take() == {}
    Keeper(path, tmp_path).end()


def test_a_keeper_that_was_killed_is_noticed_and_another_one_can_hold(
    path: Path, tmp_path: Path, late: Path, pipe: tuple[int, int]
) -> None:
    first = Keeper(path, tmp_path)
    assert not first.has_gone(), "there is none yet"
    first.hold({"one": pipe[1]}, 30)
    assert not first.has_gone()
    assert first._process is not None
    first._process.kill()
    assert eventually_true(first.has_gone)
    first.end()
    first.hold({"one": pipe[1]}, 30)
    assert not first.has_gone()
    second = Keeper(path, tmp_path)
    assert list(second.take()) == ["one"]
    second.end()
    first.end()
    assert not late.exists()
