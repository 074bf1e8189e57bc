"""The watchdog, with a real socket of systemd's kind and a plane that is stuck."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Claim
from ipmasq.core.side import Side
from ipmasq.gateway.drive import Drive
from ipmasq.gateway.loop import Loop
from ipmasq.gateway.watchdog import Watchdog, asked_for
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.control.running import IN1, OUT1, POLICY

INTERVAL = 0.1
"""Seconds between two meals: short, so that the test is."""

ASKED = {"WATCHDOG_USEC": str(int(2e6 * INTERVAL)), "WATCHDOG_PID": str(os.getpid())}
PACKET = packets.udp(IN1, 5000, OUT1, 53)


class Sockets:
    """A plane whose packets come over a socket pair; `trouble` is what it does before it reads."""

    hop = 0

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)
        self.trouble: Callable[[], object] = lambda: None
        self.handled = 0

    def open(self) -> None: ...

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def descriptors(self) -> Sequence[int]:
        return (self.ours.fileno(),)

    def claim(self, claims: Sequence[Claim], answers: bool = True) -> None: ...

    def send(self, packet: Packet, side: Side) -> None: ...

    def hand_back(self, packet: Packet, side: Side) -> None: ...

    def receive(self, descriptor: int) -> tuple[Packet, Side] | None:
        if self.trouble():
            return None
        try:
            data = self.ours.recv(2000)
        except BlockingIOError:
            return None
        self.handled += 1
        return Packet(bytearray(data)), Side.INSIDE


class Stage:
    def __init__(self, systemd: socket.socket) -> None:
        self.systemd = systemd
        self.loop, self.plane = Loop(), Sockets()
        self.engine = Engine(POLICY, Random(1).randrange, self.loop.clock())
        self.drive = Drive(self.engine, self.plane, self.loop)
        self.drive.start()

    def begin(self) -> None:
        Watchdog(self.drive.handled, self.plane.descriptors).begin(self.loop, ASKED)

    def turn(self, seconds: float) -> int:
        """How often systemd was told meanwhile that all is well."""
        self.loop.later(seconds, self.loop.stop)
        self.loop.run()
        told = []
        while True:
            try:
                told.append(self.systemd.recv(100))
            except BlockingIOError:
                assert set(told) <= {b"WATCHDOG=1"}
                return len(told)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        stage = Stage(systemd)
        yield stage
        stage.drive.stop()


def test_it_is_fed_while_nothing_waits(stage: Stage) -> None:
    stage.begin()
    assert stage.turn(5 * INTERVAL) >= 2


def test_it_is_fed_while_packets_go_through(stage: Stage) -> None:
    stage.begin()
    stage.loop.every(0.001, lambda: stage.plane.theirs.send(PACKET))
    assert stage.turn(5 * INTERVAL) >= 2
    assert stage.plane.handled > 1


def fail() -> None:
    raise RuntimeError("broken")


@pytest.mark.parametrize("trouble", [fail, lambda: True], ids=["failing", "stuck"])
def test_it_is_not_fed_while_packets_wait_and_none_is_handled(
    stage: Stage, trouble: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    stage.plane.trouble = trouble
    stage.plane.theirs.send(PACKET)
    with caplog.at_level(logging.ERROR, "ipmasq"):
        stage.begin()
        assert stage.turn(8 * INTERVAL) == 0
    assert len([each for each in caplog.messages if "packets wait" in each]) == 1
    stage.plane.trouble = lambda: None
    assert stage.turn(15 * INTERVAL) >= 1
    assert stage.plane.handled == 1


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_it_is_for_the_process_that_systemd_named(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert asked_for(environment) == seconds
