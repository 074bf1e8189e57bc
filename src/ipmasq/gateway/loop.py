"""The one loop: descriptors, timers and signals, handled one after the other. No callback may block.

Fairness: each descriptor that is ready is served once per round, so whoever bounds its work per call
(the plane: a number of packets, a control client: a number of bytes) cannot starve the others.
"""

from __future__ import annotations

import heapq
import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TypeAlias

from ipmasq.planes.plane import PlaneError

Callback: TypeAlias = Callable[[], object]
Between: TypeAlias = Callable[[float], float | None]

log = logging.getLogger("ipmasq")


class Timer:
    """A callback that is due once, unless cancelled before."""

    __slots__ = ("at", "callback")

    def __init__(self, at: float, callback: Callback) -> None:
        self.at = at
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class Loop:
    clock = staticmethod(time.monotonic)
    """Seconds; what everybody in this process calls now."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._between: list[Between] = []
        self._signals: dict[int, Callback] = {}
        self._running = False

    def watch(self, descriptor: int, callback: Callback) -> None:
        """Call back whenever there is something to read (again, while there still is)."""
        self._set(descriptor, selectors.EVENT_READ, callback)

    def watch_write(self, descriptor: int, callback: Callback) -> None:
        """Call back whenever something can be written."""
        self._set(descriptor, selectors.EVENT_WRITE, callback)

    def unwatch(self, descriptor: int) -> None:
        """Neither reading nor writing any more. Before closing a descriptor; harmless if unknown."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)

    def unwatch_write(self, descriptor: int) -> None:
        self._set(descriptor, selectors.EVENT_WRITE, None)

    def later(self, seconds: float, callback: Callback) -> Timer:
        timer = Timer(self.clock() + seconds, callback)
        heapq.heappush(self._timers, (timer.at, next(self._order), timer))
        return timer

    def every(self, seconds: float, callback: Callback) -> None:
        """Call back now and then; the pause is counted from the end of each call."""

        def again() -> None:
            try:
                callback()
            finally:
                self.later(seconds, again)

        self.later(seconds, again)

    def between(self, callback: Between) -> None:
        """Call back once per round with the time; it says when it wants to be called at the latest."""
        self._between.append(callback)

    def on_signal(self, number: signal.Signals, callback: Callback) -> None:
        """Handled in its turn like everything else, while `run` runs. One that is blocked waits for that."""
        self._signals[number] = callback

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Until `stop`. Raises PlaneError; any other trouble of a callback is logged, and a descriptor
        whose callback failed is no longer watched."""
        self._running = True
        restore = self._take_signals()
        try:
            while self._running:
                self.round()
        finally:
            restore()

    def round(self) -> None:
        """Wait until something is due, and do all that is."""
        now = self.clock()
        deadlines = [at for at in (each(now) for each in self._between) if at is not None]
        if self._timers:
            deadlines.append(self._timers[0][0])
        timeout = max(0.0, min(deadlines) - now) if deadlines else None
        for key, mask in self._selector.select(timeout):
            reading, writing = key.data
            if mask & selectors.EVENT_READ and reading:
                self._call(reading, key.fd)
            if mask & selectors.EVENT_WRITE and writing and self._is_watched(key.fd):
                self._call(writing, key.fd)
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.callback:
                self._call(timer.callback)

    def _call(self, callback: Callback, descriptor: int | None = None) -> None:
        try:
            callback()
        except PlaneError:
            raise
        except Exception:
            log.exception("a part of the gateway failed; packets go on")
            if descriptor is not None:
                self.unwatch(descriptor)

    def _is_watched(self, descriptor: int) -> bool:
        return descriptor in self._selector.get_map()

    def _set(self, descriptor: int, kind: int, callback: Callback | None) -> None:
        known = self._selector.get_map().get(descriptor)
        reading, writing = known.data if known else (None, None)
        if kind == selectors.EVENT_READ:
            reading = callback
        else:
            writing = callback
        mask = (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if writing else 0)
        if known and mask:
            self._selector.modify(descriptor, mask, (reading, writing))
        elif mask:
            self._selector.register(descriptor, mask, (reading, writing))
        elif known:
            self._selector.unregister(descriptor)

    def _take_signals(self) -> Callback:
        """Signals write to a descriptor of ours, since by themselves they do not end a wait."""
        ours, kernels = socket.socketpair()
        ours.setblocking(False)
        kernels.setblocking(False)
        before = signal.set_wakeup_fd(kernels.fileno())
        handlers = {number: signal.signal(number, _nothing) for number in self._signals}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)

        def arrived() -> None:
            for number in ours.recv(64):
                if number in self._signals:
                    self._signals[number]()

        def restore() -> None:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            self.unwatch(ours.fileno())
            ours.close()
            kernels.close()

        self.watch(ours.fileno(), arrived)
        return restore


def _nothing(*_: object) -> None:
    """A handler must exist for the signal to be written to the descriptor."""
