"""Lines on their way to a target: a bounded queue, and a thread that writes them, so that neither a full disk
nor a slow one delays packets.

The gateway's loop makes the lines. The thread does little more than wait in system calls, so that it takes no
time from the loop either.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from ipmasq.translations.targets import Target

MOST = 1 << 16
"""Lines that wait at most: about 16 MB. Further ones are lost, and counted."""

BATCH = 1024
"""Lines that are written at once."""

GATHERING = 0.05
"""Seconds to wait after the first line, so that many are written at once."""

RETRY = 1.0
"""Seconds between two attempts to write after a failure."""

LAST = 2.0
"""Seconds that the rest may take when the gateway stops."""


class Outlet:
    def __init__(self, target: Target, marker: Callable[[int], bytes], most: int = MOST) -> None:
        """`marker` returns the line that stands for a number of lines that were lost."""
        self.target = target
        self.lost = 0
        """Lines that were not written, and never will be."""
        self.written = 0
        self.trouble = ""
        """Why nothing can be written now; empty if all is well."""
        self._marker = marker
        self._most = most
        self._lines: deque[bytes] = deque()
        """From the loop to the thread."""
        self._pending: deque[bytes] = deque()
        """The thread's: what it is writing."""
        self._marked = 0
        """Lost lines for which there is a marker."""
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="translation log", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self.target.name

    # -- the gateway's loop

    @property
    def waiting(self) -> int:
        return len(self._lines) + len(self._pending)

    @property
    def has_room(self) -> bool:
        """Whether half of the queue is empty, which is left to what happens now."""
        return self.waiting < self._most // 2

    def put(self, lines: Sequence[bytes]) -> None:
        """Take lines, as far as there is room, and before them a marker if lines were lost. Never waits."""
        room = self._most - self.waiting
        if room > 0 and self.lost > self._marked:
            self._lines.append(self._marker(self.lost - self._marked))
            self._marked = self.lost
            room -= 1
        taken = lines[: max(0, room)]
        self._lines.extend(taken)
        self.lost += len(lines) - len(taken)
        if self._lines:
            self._news.set()

    def reopen(self) -> None:
        self.target.reopen()

    def end(self) -> None:
        """Take no more lines. The thread writes the rest, if that is possible at once, and ends."""
        self.put(())
        self._closing.set()
        self._news.set()

    def join(self, patience: float = LAST) -> None:
        """Wait until it has ended, for `patience` seconds at most."""
        self._thread.join(patience)

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    # -- the thread

    def _run(self) -> None:
        while not self._closing.is_set():
            self._news.wait()
            self._closing.wait(GATHERING)
            self._news.clear()
            if not self._write_all():
                self._closing.wait(RETRY)
                self._news.set()
        self._write_all()
        self.target.close()
        self.lost += self.waiting
        self._lines.clear()
        self._pending.clear()

    def _write_all(self) -> bool:
        """Write what waits. Return False if that is not possible now."""
        while self.waiting:
            while self._lines and len(self._pending) < BATCH:
                self._pending.append(self._lines.popleft())
            before = len(self._pending)
            try:
                self.target.write(self._pending)
            except OSError as error:
                self.trouble = error.strerror or str(error)
                return False
            finally:
                self.written += before - len(self._pending)
            self.trouble = ""
        return True
