"""A store that is written in a thread of its own, since a commit to a disk takes milliseconds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TypeAlias

from ipmasq.continuity.store import Store, StoreError

MOST_TASKS = 1000
"""Batches that may wait: tens of seconds, at the rate at which batches are made without dependent packets."""

PATIENCE = 10.0
"""Seconds that the disk may take for what waits when the store is closed."""

Done: TypeAlias = Callable[[], object]
Task: TypeAlias = tuple[Callable[[], object] | None, Done | None]


class Background:
    """Carries out what is asked of another store in a thread. An error is raised by the next call."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._done: deque[Done] = deque()
        self._error: StoreError | None = None
        self._is_closed = False
        self.descriptor, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        """Readable when `report` has something to do."""
        self._thread = Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            task, done = self._tasks.get()
            if task is None:
                break
            try:
                if self._error is None:
                    task()
            except StoreError as error:
                self._error = error
            if done is not None:
                self._done.append(done)
            if done is not None or self._error is not None:
                self._notify()
        self._store.close()
        os.close(self._wake)

    def _notify(self) -> None:
        with suppress(BlockingIOError, BrokenPipeError):  # it is readable already, or closed
            os.write(self._wake, b"\0")

    def report(self) -> None:
        """Call back for what was kept since the last call. After an error nothing is kept any more, but whoever
        waits is called nevertheless. Raises StoreError once it is known that something could not be kept."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 4096):
                pass
        while self._done:
            self._done.popleft()()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    @property
    def has_failed(self) -> bool:
        """Whether something could not be kept; once it is closed also: or is not yet."""
        return self._error is not None or (self._is_closed and self._thread.is_alive())

    def _ask(self, task: Callable[[], object], done: Done | None = None) -> None:
        self._check()
        if self._tasks.qsize() >= MOST_TASKS:
            self._error = StoreError(f"the disk does not keep up: {MOST_TASKS} batches wait")
            raise self._error
        self._tasks.put((task, done))

    # -- Store

    def load(self) -> Iterator[bytes]:
        return self._store.load()

    def append(self, batch: bytes, kept: Callable[[], object] | None = None) -> None:
        self._ask(lambda: self._store.append(batch), kept)

    def begin_snapshot(self) -> None:
        self._ask(self._store.begin_snapshot)

    def end_snapshot(self) -> None:
        self._ask(self._store.end_snapshot)

    def trim(self) -> None:
        self._ask(self._store.trim)

    @property
    def has_old(self) -> bool:
        return self._store.has_old

    @property
    def size(self) -> int:
        return self._store.size

    def close(self) -> None:
        """Wait until everything is written. After an error there is nothing to wait for: the thread ends by itself,
        as soon as the disk lets it."""
        self._tasks.put((None, None))
        self._is_closed = True
        self._thread.join(PATIENCE if self._error is None else 0)
        while self._done:
            self._done.popleft()()
        os.close(self.descriptor)
