"""Waits until every program that was running has ended, which takes some ten milliseconds."""

from __future__ import annotations

import ctypes
import struct
import threading

from ipmasq.planes.ebpf import libbpf


class Grace:
    """The kernel ends a write to a map of maps only when no program can still use what was there before
    (`maybe_wait_bpf_programs`, Linux 4.20: an RCU grace period). A thread waits for that."""

    def __init__(self, loaded: libbpf.Object) -> None:
        self._map = loaded.map("ended")
        self._value = struct.pack("=I", loaded.map("nothing"))
        self._thread: threading.Thread | None = None
        self._failed = False

    @property
    def under_way(self) -> bool:
        """Whether a wait has begun whose end was not reported yet, or waiting is not possible."""
        return self._failed or self._thread is not None

    def begin(self) -> None:
        """Wait for all programs that run now. No other wait may be under way."""
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def has_ended(self) -> bool:
        """Return True once after they all have ended."""
        if self._thread is None or self._thread.is_alive():
            return False
        self._thread = None
        return not self._failed

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _wait(self) -> None:
        value = ctypes.c_char_p(self._value)
        self._failed = libbpf.library().bpf_map_update_elem(self._map, bytes(4), value, 0) < 0
