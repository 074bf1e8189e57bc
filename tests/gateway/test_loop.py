"""The loop, with real descriptors, timers and signals."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from ipmasq.gateway.failures import FailureLog
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


def test_packets_are_read_while_a_thread_works(pair: Pair) -> None:
    loop, read = Loop(), threading.Event()

    def receive() -> None:
        pair[0].recv(64)
        read.set()

    loop.watch(pair[0].fileno(), receive)
    pair[1].sendall(b"x")
    # The work ends only after the loop has read.
    assert loop.meanwhile(lambda: read.wait(10))


def test_what_the_work_of_a_thread_raises_is_raised_to_whoever_waits_for_it() -> None:
    loop = Loop()

    def fail() -> None:
        raise PlaneError("no programs")

    with pytest.raises(PlaneError, match="no programs"):
        loop.meanwhile(fail)
    assert loop.meanwhile(lambda: 1) == 1


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


def test_a_descriptor_whose_callback_failed_is_called_again(pair: Pair) -> None:
    loop, read = Loop(), bytearray()

    def read_one_and_fail_at_first() -> None:
        read.extend(pair[0].recv(1))
        if len(read) == 3:
            loop.stop()
        if len(read) < 3:
            raise RuntimeError

    pair[1].sendall(b"abc")
    loop.watch(pair[0].fileno(), read_one_and_fail_at_first)
    loop.later(20, loop.stop)
    loop.run()
    assert read == b"abc"
    assert loop.failures.count == 2


def test_a_callback_that_fails_for_ever_without_reading_is_no_busy_loop(pair: Pair) -> None:
    loop, calls, others = Loop(), [], []

    def fail() -> None:
        calls.append(loop.clock())
        if len(calls) == 6:
            loop.stop()
        raise RuntimeError

    pair[1].sendall(b"x")
    loop.watch(pair[0].fileno(), fail)
    loop.every(0.001, lambda: others.append(1))
    loop.run()
    pauses = [later - sooner for sooner, later in itertools.pairwise(calls)]
    assert all(pause >= 0.001 * 2**n for n, pause in enumerate(pauses))
    assert others


def test_a_callback_that_fails_and_still_gets_on_is_called_again_at_once(pair: Pair) -> None:
    loop, read = Loop(), bytearray()

    def read_one_and_fail() -> None:
        read.extend(pair[0].recv(1))
        raise RuntimeError

    pair[1].sendall(b"poisoned packets")
    loop.watch(pair[0].fileno(), read_one_and_fail, lambda: len(read))
    for _ in b"poisoned packets":
        loop.round()
    assert read == b"poisoned packets"


def test_one_that_rests_after_it_failed_can_be_watched_and_unwatched(pair: Pair) -> None:
    loop, calls = Loop(), []
    number = pair[0].fileno()

    def fail() -> None:
        calls.append("failed")
        raise RuntimeError

    pair[1].sendall(b"x")
    loop.watch(number, fail)
    loop.round()
    loop.watch(number, lambda: calls.append("another"))
    while calls[-1] != "another":
        loop.round()
    loop.watch(number, fail)
    loop.round()
    loop.unwatch(number)
    loop.later(0.05, loop.stop)
    loop.run()
    assert calls.count("failed") == 2


def test_whoever_fails_when_asked_between_rounds_is_asked_again() -> None:
    loop, asked = Loop(), []

    def between(now: float) -> float | None:
        asked.append(now)
        if len(asked) == 4:
            loop.stop()
        raise RuntimeError

    loop.between(between)
    loop.run()
    assert asked[3] - asked[0] >= 0.001 + 0.002 + 0.004


def test_a_signal_whose_action_fails_keeps_no_other_from_its_turn() -> None:
    loop, done = Loop(), []
    loop.on_signal(signal.SIGHUP, lambda: done.append(1 / 0))
    loop.on_signal(signal.SIGTERM, loop.stop)
    loop.later(0, lambda: os.kill(os.getpid(), signal.SIGHUP))
    loop.later(0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    loop.run()
    assert loop.failures.count == 1


def test_trouble_of_one_kind_is_told_once_and_then_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = FailureLog()

    def fail(number: int) -> None:
        raise RuntimeError(f"no packet {number}")

    with caplog.at_level(logging.ERROR, "ipmasq"):
        for number in range(1000):
            try:
                fail(number)
            except RuntimeError as error:
                failures.report(error, number / 100)
        failures.report(KeyError("another kind"), 20.0)
        failures.look(59.9)
        assert len(caplog.records) == 2
        failures.look(60.0)
    said = [record.getMessage() for record in caplog.records]
    assert "RuntimeError: no packet 0 (test_loop.py:" in said[0]
    assert said[2].startswith("999 more in the last 60 s like: ")
    assert [bool(record.exc_info) for record in caplog.records] == [True, True, False]
    assert failures.count == 1001


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
