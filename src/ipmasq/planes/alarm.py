"""A descriptor that becomes readable at a given time (timerfd_create(2), which `os` has from Python 3.13 on)."""

from __future__ import annotations

import ctypes
import os
import struct
import time
from math import inf

# <sys/timerfd.h>, x86 and ARM
TFD_NONBLOCK, TFD_CLOEXEC = 0o4000, 0o2000000

_ITIMERSPEC = struct.Struct("@4l")


class Alarm:
    def __init__(self) -> None:
        """Create the timer. Raises OSError."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = TFD_NONBLOCK | TFD_CLOEXEC
        self._descriptor: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def fileno(self) -> int:
        return self._descriptor

    def set(self, seconds: float) -> None:
        """Become readable in so many seconds; `inf` means never."""
        nanoseconds = 0 if seconds == inf else max(1, int(seconds * 1e9))  # 0 would disarm it
        spec = _ITIMERSPEC.pack(0, 0, *divmod(nanoseconds, 1_000_000_000))
        self._libc.timerfd_settime(self._descriptor, 0, spec, None)

    def close(self) -> None:
        os.close(self._descriptor)
