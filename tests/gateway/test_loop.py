"""The loop, with real descriptors, timers and signals."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from ipmasq.gateway.loop import Loop
from ipmasq.planes.plane import PlaneError

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    one.setblocking(False)
    with one, other:
        yield one, other


def test_a_descriptor_is_called_again_while_there_is_something_to_read(pair: Pair) -> None:
    loop, read = Loop(), bytearray()
    pair[1].sendall(b"abc")
    loop.watch(pair[0].fileno(), lambda: read.extend(pair[0].recv(1)))
    for _ in range(3):
        loop.round()
    assert read == b"abc"


def test_each_ready_descriptor_is_served_once_per_round(pair: Pair) -> None:
    loop, turns = Loop(), []
    third, fourth = socket.socketpair()
    with third, fourth:
        for each in (pair[0], third):
            loop.watch(each.fileno(), lambda each=each: turns.append(each.fileno()))
        pair[1].sendall(b"always ready")
        fourth.sendall(b"always ready")
        for _ in range(4):
            loop.round()
        assert turns.count(pair[0].fileno()) == turns.count(third.fileno()) == 4


def test_reading_and_writing_of_one_descriptor_are_watched_apart(pair: Pair) -> None:
    loop, done = Loop(), []
    number = pair[0].fileno()
    loop.watch(number, lambda: done.append("read"))
    loop.watch_write(number, lambda: done.append("write"))
    loop.round()
    assert done == ["write"]
    loop.unwatch_write(number)
    pair[1].sendall(b"x")
    loop.round()
    assert done == ["write", "read"]
    loop.unwatch(number)
    loop.unwatch(number)
    loop.unwatch_write(number)
    loop.later(0, lambda: None)
    loop.round()
    assert done == ["write", "read"]


def test_a_descriptor_closed_while_reading_is_not_written_to(pair: Pair) -> None:
    loop, done = Loop(), []
    number = pair[0].fileno()

    def read() -> None:
        done.append("read")
        loop.unwatch(number)

    loop.watch(number, read)
    loop.watch_write(number, lambda: done.append("write"))
    pair[1].sendall(b"x")
    loop.round()
    assert done == ["read"]


def test_timers_fire_in_the_order_of_their_times_and_not_if_cancelled() -> None:
    loop, fired = Loop(), []
    loop.later(0.02, lambda: fired.append("second"))
    loop.later(0.01, lambda: fired.append("first"))
    loop.later(0.015, lambda: fired.append("never")).cancel()
    loop.later(0.03, loop.stop)
    loop.run()
    assert fired == ["first", "second"]


def test_what_happens_every_now_and_then_happens_again_after_it_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, times = Loop(), []

    def fail() -> None:
        times.append(loop.clock())
        if len(times) == 3:
            loop.stop()
        raise RuntimeError("broken")

    loop.every(0.001, fail)
    with caplog.at_level(logging.ERROR, "ipmasq"):
        loop.run()
    assert len(times) == 3
    assert "broken" in caplog.text


def test_a_callback_that_fails_ends_its_own_watch_and_nothing_else(pair: Pair) -> None:
    loop, calls = Loop(), []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError

    pair[1].sendall(b"x")
    loop.watch(pair[0].fileno(), fail)
    loop.later(0.01, loop.stop)
    loop.run()
    assert calls == [1]


def test_trouble_of_the_plane_ends_the_loop(pair: Pair) -> None:
    loop = Loop()

    def gone() -> None:
        raise PlaneError("the device is gone")

    pair[1].sendall(b"x")
    loop.watch(pair[0].fileno(), gone)
    with pytest.raises(PlaneError):
        loop.run()


def test_whoever_is_asked_between_rounds_decides_how_long_to_wait() -> None:
    loop, asked = Loop(), []

    def between(now: float) -> float | None:
        asked.append(now)
        if len(asked) == 3:
            loop.stop()
        return now + 0.005

    loop.between(between)
    loop.run()
    assert asked[2] - asked[0] >= 0.01


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_wait_and_is_handled_in_its_turn(number: signal.Signals) -> None:
    loop = Loop()
    before = signal.getsignal(number)
    loop.on_signal(number, loop.stop)
    sender = threading.Timer(0.05, os.kill, (os.getpid(), number))
    sender.start()
    loop.run()
    sender.join()
    assert signal.getsignal(number) == before
