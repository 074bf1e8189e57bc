"""Work that would take long in the loop, done in a thread: one piece after the other, and a tenth of the time at most.

The thread and the loop share the interpreter's lock. So a thread that works all the time would slow packets down, however
many pieces there are; it rests after each of them, and gives the lock up soon when the loop wants it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from ipmasq.gateway.loop import Loop

T = TypeVar("T")
Then: TypeAlias = Callable[["Piece[T]"], object]

RESTS = 9.0
"""How many times as long as it has computed the thread rests. Waiting for other processes is not computing."""

LONGEST = 2.0
"""Seconds that it rests at most on that account."""

SWITCH = 0.0002
"""Seconds after which a thread gives up the interpreter's lock if another one wants it: Python's own 5 ms would be a
packet's delay. It is that of the whole process while a thread works."""


class Piece(Generic[T]):
    """One piece of work."""

    def __init__(self, prepare: Callable[[], Callable[[], T]], then: Then[T]) -> None:
        self._prepare, self._then = prepare, then
        self._work: Callable[[], T] | None = None
        self._found: T | None = None
        self._error: Exception | None = None
        self.is_done = False
        self.computed = 0.0
        """Seconds of the processor that it took."""

    def result(self) -> T:
        """Return what the work has returned, or raise what it has raised."""
        if self._error is not None:
            raise self._error
        return self._found  # type: ignore[return-value]  # which has the type of the work

    @property
    def has_begun(self) -> bool:
        return self._work is not None

    def begin(self) -> None:
        """Prepare the work: in the loop. If that fails, so does the work."""
        try:
            self._work = self._prepare()
        except Exception as error:
            self._work = _raising(error)

    def run(self) -> None:
        """Do it: in the thread."""
        assert self._work is not None
        began = time.thread_time()
        try:
            self._found = self._work()
        except Exception as error:
            self._error = error
        self.computed = time.thread_time() - began

    def end(self) -> None:
        """Tell that it is done: in the loop."""
        self.is_done = True
        self._then(self)


def _raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


class Aside:
    _working: ClassVar[int] = 0
    """How many of all have a thread that works."""
    _usual: ClassVar[float] = 0.0
    """The interpreter's interval while none does."""

    def __init__(self, loop: Loop, rest: float = 0.0) -> None:
        """`rest` is the shortest time, in seconds, from the end of one piece to the beginning of the next."""
        self._loop, self._rest = loop, rest
        self._done = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pieces: dict[Piece[Any], None] = {}
        """Those that have not begun, in their order."""
        self._running: tuple[Piece[Any], threading.Thread] | None = None
        self._rests = False
        loop.watch(self._done, self._have_done)

    @property
    def is_busy(self) -> bool:
        """Whether a piece is being done."""
        return self._running is not None

    def do(
        self, prepare: Callable[[], Callable[[], T]], then: Then[T] = lambda _: None
    ) -> Piece[T]:
        """Do work after what was asked for before. `prepare` returns it, and is called in the loop when its turn has
        come; `then` is called in the loop when it is done."""
        piece = Piece(prepare, then)
        self._pieces[piece] = None
        self._begin()
        return piece

    def cancel(self, piece: Piece[Any]) -> None:
        """Do not begin this piece. One that has begun is finished."""
        self._pieces.pop(piece, None)

    def wait(self, piece: Piece[T]) -> Generator[None, None, T]:
        """Yield until it is done, and return its result. It is cancelled if nobody waits any more."""
        try:
            while not piece.is_done:
                yield
        finally:
            self.cancel(piece)
        return piece.result()

    def end(self) -> None:
        """Wait for the piece that is being done, and begin no other. May be called twice."""
        if self._done < 0:
            return
        self._loop.unwatch(self._done)
        self._pieces.clear()
        if self._running is not None:
            self._join(*self._running)
        os.close(self._done)
        self._done = -1

    def _begin(self) -> None:
        if self._running is not None or self._rests or self._done < 0 or not self._pieces:
            return
        piece = next(iter(self._pieces))
        del self._pieces[piece]
        piece.begin()
        thread = threading.Thread(target=self._work, args=(piece,), daemon=True)
        self._running = piece, thread
        self._hurry()
        thread.start()

    def _work(self, piece: Piece[Any]) -> None:
        try:
            piece.run()
        finally:
            os.eventfd_write(self._done, 1)

    def _have_done(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._done)
        if self._running is None:
            return
        piece = self._join(*self._running)
        self._rests = True
        rest = max(self._rest, min(LONGEST, RESTS * piece.computed))
        self._loop.later(rest, self._have_rested)
        piece.end()

    def _have_rested(self) -> None:
        self._rests = False
        self._begin()

    def _join(self, piece: Piece[Any], thread: threading.Thread) -> Piece[Any]:
        thread.join()
        self._running = None
        Aside._working -= 1
        if not Aside._working:
            sys.setswitchinterval(Aside._usual)
        return piece

    @staticmethod
    def _hurry() -> None:
        if not Aside._working:
            Aside._usual = sys.getswitchinterval()
            sys.setswitchinterval(min(Aside._usual, SWITCH))
        Aside._working += 1
