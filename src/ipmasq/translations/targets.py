"""Where lines are written. These are called from a thread of their own, and may wait."""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from typing import Protocol

from ipmasq.wire.addresses import Endpoint, to_text

PATIENCE = 1.0
"""Seconds to wait for a local logger that does not read."""


class Target(Protocol):
    name: str
    """For people and metrics."""

    def write(self, lines: deque[bytes]) -> None:
        """Write lines, and remove each from `lines` as soon as it was written. Raises OSError."""

    def reopen(self) -> None:
        """Open the file of that name with the next write, since it may be another one by then."""

    def close(self) -> None: ...


class FileTarget:
    """A file to which lines are appended. Each is written whole into one file."""

    def __init__(self, path: str) -> None:
        """Open it, so that it is known at once whether that is possible. Raises OSError."""
        self.name = path
        self._path = path
        self._written = 0
        """Bytes of the first line that are in the file already: the disk was full in the middle of it."""
        self._is_cut = self._is_old = False
        """Whether the file ends in the middle of another line, and whether it may have another name by now."""
        self._file: int | None = None
        self._open()

    def write(self, lines: deque[bytes]) -> None:
        if self._is_old or self._file is None:
            self._open()
        assert self._file is not None
        if self._is_cut:
            os.write(self._file, b"\n")
            self._is_cut = False
        self._written += os.write(self._file, b"".join(lines)[self._written :])
        while lines and self._written >= len(lines[0]):
            self._written -= len(lines.popleft())

    def reopen(self) -> None:
        self._is_old = True

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        with suppress(OSError):  # the file's own error says what is wrong
            os.mkdir(os.path.dirname(self._path), 0o750)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        opened = os.open(self._path, flags, 0o640)
        before, self._file, self._is_old = self._file, opened, False
        if before is not None:
            is_same = os.path.sameopenfile(before, opened)
            os.close(before)
            if is_same:
                return
        self._written, self._is_cut = 0, _is_cut(self._path)


def _is_cut(path: str) -> bool:
    """Return whether a file ends in the middle of a line: whoever wrote it was killed, or the disk was full."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            return size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
    except OSError:
        return False


class DatagramTarget:
    """A syslog server, by UDP, or the socket of the host's own logger."""

    def __init__(self, where: Endpoint | str) -> None:
        self.name = str(where)
        self._where = where if isinstance(where, str) else (to_text(where.address), where.port)
        self._socket: socket.socket | None = None

    def write(self, lines: deque[bytes]) -> None:
        if self._socket is None:
            self._socket = self._connect()
        try:
            while lines:
                self._socket.send(lines[0])
                lines.popleft()
        except OSError:
            self.close()  # the logger may have been restarted, with another socket
            raise

    def reopen(self) -> None:
        """A socket has no file to be renamed."""

    def close(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        family = socket.AF_UNIX if isinstance(self._where, str) else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.settimeout(PATIENCE)
        try:
            made.connect(self._where)
        except BaseException:
            made.close()
            raise
        return made
