"""A successor is a process of its own, which gets ready while this one goes on."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable

import pytest

from ipmasq.gateway import upgrade
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.upgrade import Predecessor, Upgrade

READY = (
    "import socket, sys; end = socket.socket(fileno=int(sys.argv[2])); end.send(b'r'); end.recv(1)"
)
"""A successor: ready at once, it ends when everything is left to it."""


class Leaving:
    """A gateway that may be replaced by a Python program."""

    def __init__(self, code: str) -> None:
        self.loop = Loop()
        self.left = 0
        self.upgrade = Upgrade(self.loop, [sys.executable, "-c", code], self.leave)

    def leave(self) -> None:
        self.left += 1

    def until(self, happened: Callable[[], object], patience: float = 20.0) -> None:
        deadline = time.monotonic() + patience
        self.loop.later(0.01, lambda: None)
        while not happened():
            assert time.monotonic() < deadline
            self.loop.later(0.01, lambda: None)
            self.loop.round()


def test_everything_is_left_when_the_successor_is_ready_and_it_goes_on_when_that_is_done():
    gateway = Leaving(READY)
    gateway.upgrade.begin()
    process = gateway.upgrade._process
    assert process is not None
    gateway.upgrade.begin()  # it is on its way already
    assert gateway.upgrade.successor == process.pid
    gateway.until(lambda: gateway.left)
    assert gateway.upgrade.is_ready
    assert process.poll() is None, "it waits"
    gateway.upgrade.end()
    assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("code", "said"), [("raise SystemExit(3)", "ended with exit code 3"), ("1 / 0", "exit code 1")]
)
def test_a_successor_that_ends_is_no_reason_to_leave(code: str, said: str):
    gateway = Leaving(code)
    gateway.upgrade.begin()
    gateway.until(lambda: gateway.upgrade.trouble)
    assert said in gateway.upgrade.trouble
    assert not gateway.left
    assert not gateway.upgrade.is_running
    gateway.upgrade.end()


def test_a_successor_that_does_not_get_ready_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upgrade, "PATIENCE", 0.05)
    gateway = Leaving("import time; time.sleep(60)")
    gateway.upgrade.begin()
    process = gateway.upgrade._process
    gateway.until(lambda: gateway.upgrade.trouble)
    assert "was not ready after" in gateway.upgrade.trouble
    assert process is not None
    assert process.poll() is not None


def test_a_gateway_that_ends_takes_a_successor_that_is_not_ready_with_it():
    gateway = Leaving("import time; time.sleep(60)")
    gateway.upgrade.begin()
    process = gateway.upgrade._process
    gateway.upgrade.end()
    assert process is not None
    assert process.poll() is not None


def test_a_program_that_does_not_exist_is_an_error_and_nothing_has_begun():
    gateway = Leaving("")
    gateway.upgrade._command = ("/nowhere/ipmasq",)
    with pytest.raises(OSError, match="nowhere"):
        gateway.upgrade.begin()
    assert not gateway.upgrade.is_running


def test_systemd_is_told_of_the_successor_which_is_not_told_of_a_watchdog_that_is_not_its_own(
    monkeypatch: pytest.MonkeyPatch,
):
    said: list[str] = []
    monkeypatch.setattr(upgrade, "notify_systemd", said.append)
    monkeypatch.setenv("WATCHDOG_PID", "1")
    gateway = Leaving(f"import os; assert 'WATCHDOG_PID' not in os.environ; {READY}")
    gateway.upgrade.begin()
    gateway.until(lambda: gateway.left)
    assert said == [f"MAINPID={gateway.upgrade.successor}"]
    gateway.upgrade.end()


@pytest.mark.parametrize("how", ["closed", "ended before"])
def test_a_successor_waits_once_until_its_predecessor_has_left_everything(how: str):
    mine, its = socket.socketpair()
    if how == "ended before":
        mine.close()
    predecessor = Predecessor(its.detach())
    waiting = threading.Thread(target=lambda: [predecessor.follow(None) for _ in range(2)])
    waiting.start()
    if how == "closed":
        assert mine.recv(1) == b"r"
        assert waiting.is_alive()
        mine.close()
    waiting.join(20)
    assert not waiting.is_alive()
