"""A thread that does one thing again and again, and that other threads can wake up and end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress


class Worker:
    def __init__(self, name: str, step: Callable[[], float]) -> None:
        """`step` returns the seconds to wait until it is called again, unless `wake` is called first. It must
        not raise."""
        self._step = step
        self._awake = threading.Event()
        self._ends = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Let the next step begin now."""
        self._awake.set()

    def end(self, patience: float | None = None) -> None:
        """Let the present step be the last one, and wait for its end, for so many seconds at most."""
        self._ends = True
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(patience)

    def _run(self) -> None:
        while not self._ends:
            self._awake.clear()
            self._awake.wait(self._step())


class Bell:
    """Wakes a loop from other threads: `fileno` becomes readable when it is rung."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._descriptor

    def ring(self) -> None:
        with suppress(OSError):  # it may be closed already
            os.eventfd_write(self._descriptor, 1)

    def hush(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
