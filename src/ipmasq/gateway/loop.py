"""The event loop: descriptors, timers and signals, handled one after the other. A callback must not block.

Each ready descriptor is served once per round, so that a callback with limited work per call (the plane: a
number of packets, a control client: a number of bytes) cannot starve the others.

Only PlaneError ends the loop. Other failures are logged, and the callback is called again: a descriptor stays
registered whatever its callback raises. One that fails repeatedly is suspended in between, for up to a
second.
"""

from __future__ import annotations

import heapq
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias, TypeVar

from ipmasq.gateway.failures import FailureLog, Pause
from ipmasq.planes.plane import PlaneError

T = TypeVar("T")

Callback: TypeAlias = Callable[[], object]
Between: TypeAlias = Callable[[float], float | None]

Progress: TypeAlias = Callable[[], int]

FAILURES_EVERY = 5.0
"""Seconds between two checks whether failures are to be summed up."""


class Timer:
    """A callback that is called once, unless it is cancelled before."""

    __slots__ = ("at", "callback")

    def __init__(self, at: float, callback: Callback) -> None:
        self.at = at
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


@dataclass(slots=True)
class _Watched:
    reading: Callback | None = None
    writing: Callback | None = None
    progress: Progress | None = None
    reached: int = -1
    """The value of `progress` at the last failure."""
    pause: Pause = field(default_factory=Pause)
    rests: bool = False
    """Whether it is suspended, since its callback has just failed."""

    @property
    def mask(self) -> int:
        if self.rests:
            return 0
        return (selectors.EVENT_READ if self.reading else 0) | (
            selectors.EVENT_WRITE if self.writing else 0
        )


class Loop:
    clock = staticmethod(time.monotonic)
    """Seconds on the clock of this process."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._watched: dict[int, _Watched] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._between: list[tuple[Between, Pause]] = []
        self._signals: dict[int, Callback] = {}
        self._afterwards: list[Callback] = []
        self._arrived: Callback = _nothing
        self._running = False
        self.failures = FailureLog()
        """What has failed. Callbacks that survive a failure report it here as well."""
        self.every(FAILURES_EVERY, lambda: self.failures.look(self.clock()))

    def watch(self, descriptor: int, callback: Callback, progress: Progress | None = None) -> None:
        """Call back whenever there is something to read (again, while there still is).

        `progress` counts what was done. A callback that has failed is not suspended if it made progress
        nevertheless, so that whoever can make it fail does not slow it down for others.
        """
        watched = self._watched.setdefault(descriptor, _Watched())
        watched.reading, watched.progress = callback, progress
        self._register(descriptor, watched)

    def watch_write(self, descriptor: int, callback: Callback) -> None:
        """Call back whenever something can be written."""
        watched = self._watched.setdefault(descriptor, _Watched())
        watched.writing = callback
        self._register(descriptor, watched)

    def unwatch(self, descriptor: int) -> None:
        """Stop reading and writing; to be called before a descriptor is closed. Harmless if it is unknown."""
        if self._watched.pop(descriptor, None):
            with suppress(KeyError, ValueError):
                self._selector.unregister(descriptor)

    def unwatch_write(self, descriptor: int) -> None:
        if watched := self._watched.get(descriptor):
            watched.writing = None
            self._register(descriptor, watched)

    def later(self, seconds: float, callback: Callback) -> Timer:
        timer = Timer(self.clock() + seconds, callback)
        heapq.heappush(self._timers, (timer.at, next(self._order), timer))
        return timer

    def every(self, seconds: float, callback: Callback) -> None:
        """Call back periodically; the pause is counted from the end of each call."""

        def again() -> None:
            try:
                callback()
            finally:
                self.later(seconds, again)

        self.later(seconds, again)

    def between(self, callback: Between) -> None:
        """Call back once per round with the time; it returns when it must be called at the latest."""
        self._between.append((callback, Pause()))

    def on_signal(self, number: signal.Signals, callback: Callback) -> None:
        """Handle a signal in its turn like everything else, while `run` runs. A blocked signal waits for
        that."""
        self._signals[number] = callback

    def afterwards(self, callback: Callback) -> None:
        """Call once when the present round is over, unless the loop was stopped by then. It may take long, since nothing
        else is called meanwhile."""
        self._afterwards.append(callback)

    def take_signals(self) -> None:
        """Handle the signals that have arrived, while `run` runs."""
        with suppress(BlockingIOError):
            self._arrived()

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Run until `stop`. Raises PlaneError; any other failure of a callback is logged, and the loop
        continues."""
        self._running = True
        restore = self._take_signals()
        try:
            while self._running:
                self.round()
                while self._running and self._afterwards:
                    self._call(self._afterwards.pop(0))
        finally:
            restore()

    def meanwhile(self, work: Callable[[], T]) -> T:
        """Do this in a thread, and everything that is due until it is done. Return what it returns, or raise what
        it raises. Raises PlaneError as `run` does."""
        done = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(done, lambda: None)
        try:
            with ThreadPoolExecutor(1) as thread:
                future = thread.submit(work)
                future.add_done_callback(lambda _: os.eventfd_write(done, 1))
                while not future.done():
                    self.round()
                return future.result()
        finally:
            self.unwatch(done)
            os.close(done)

    def round(self) -> None:
        """Wait until something is due, and handle everything that is."""
        now = self.clock()
        asked = [self._ask(between, pause, now) for between, pause in self._between]
        deadlines = [at for at in asked if at is not None]
        if self._timers:
            deadlines.append(self._timers[0][0])
        timeout = max(0.0, min(deadlines) - now) if deadlines else None
        for key, mask in self._selector.select(timeout):
            self._serve(key.fd, mask)
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.callback:
                self._call(timer.callback)

    def _ask(self, between: Between, pause: Pause, now: float) -> float | None:
        try:
            deadline = between(now)
        except PlaneError:
            raise
        except Exception as error:
            self.failures.report(error, now)
            return now + pause.longer()
        pause.over()
        return deadline

    def _serve(self, descriptor: int, mask: int) -> None:
        """Serve one descriptor. A callback may unregister any descriptor, its own included before its other
        callback's turn."""
        watched = self._watched.get(descriptor)
        if watched is None:
            return
        well = not (mask & selectors.EVENT_READ and watched.reading) or self._call(watched.reading)
        if self._watched.get(descriptor) is not watched:
            return
        if mask & selectors.EVENT_WRITE and watched.writing:
            well = self._call(watched.writing) and well
        if well:
            watched.pause.over()
        elif self._watched.get(descriptor) is watched and not self._got_on(watched):
            self._rest(descriptor, watched)

    def _got_on(self, watched: _Watched) -> bool:
        """Return whether progress was made since the last failure."""
        if watched.progress is None:
            return False
        before, watched.reached = watched.reached, watched.progress()
        return watched.reached != before

    def _rest(self, descriptor: int, watched: _Watched) -> None:
        """Suspend the callback, which would otherwise be called forever if it fails before it reads."""

        def go_on() -> None:
            watched.rests = False
            if self._watched.get(descriptor) is watched:
                self._register(descriptor, watched)

        watched.rests = True
        self._register(descriptor, watched)
        self.later(watched.pause.longer(), go_on)

    def _call(self, callback: Callback) -> bool:
        """Call, and return whether it succeeded."""
        try:
            callback()
        except PlaneError:
            raise
        except Exception as error:
            self.failures.report(error, self.clock())
            return False
        return True

    def _register(self, descriptor: int, watched: _Watched) -> None:
        """Tell the selector which events to wait for."""
        known, mask = descriptor in self._selector.get_map(), watched.mask
        if known and mask:
            self._selector.modify(descriptor, mask)
        elif mask:
            self._selector.register(descriptor, mask)
        elif known:
            self._selector.unregister(descriptor)
        if not (watched.reading or watched.writing):
            self._watched.pop(descriptor, None)

    def _take_signals(self) -> Callback:
        """Let signals write to a descriptor of the loop, since by themselves they do not end a wait."""
        ours, kernels = socket.socketpair()
        ours.setblocking(False)
        kernels.setblocking(False)
        before = signal.set_wakeup_fd(kernels.fileno())
        handlers = {number: signal.signal(number, _nothing) for number in self._signals}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)

        def arrived() -> None:
            for number in ours.recv(64):
                if number in self._signals:
                    self._call(self._signals[number])

        def restore() -> None:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            self.unwatch(ours.fileno())
            ours.close()
            kernels.close()

        self._arrived = arrived
        self.watch(ours.fileno(), arrived)
        return restore


def _nothing(*_: object) -> None:
    """A handler must exist for the signal to be written to the descriptor."""
