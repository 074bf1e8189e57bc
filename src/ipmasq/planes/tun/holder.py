"""Who holds the descriptors of the TUN devices when this process has ended: nobody, a keeper, or systemd."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ipmasq.planes.tun import keeper

PATIENCE = 5.0
"""Seconds that a keeper may take to answer."""

UNDO = "import sys, pathlib; from ipmasq.planes.leftovers import undo_leftovers; undo_leftovers(pathlib.Path(sys.argv[1]))"


class Holder(Protocol):
    def take(self) -> Mapping[str, int]:
        """Return the descriptors that an earlier process has left, by name."""

    def hold(self, descriptors: Mapping[str, int], grace: float) -> None:
        """Hold these descriptors, and no others, while this process lives and `grace` seconds longer. Raises
        OSError."""

    def has_gone(self) -> bool:
        """Return whether whatever holds them has ended, so that nothing is held."""

    def leave(self) -> None:
        """End without a word: a successor will take them."""

    def end(self) -> None:
        """Hold nothing any more. To be called when the descriptors are closed: then the devices are gone."""


class Keeper:
    """A Holder: a process (`keeper`) that undoes the gateway's changes if no successor comes in time."""

    def __init__(self, path: Path, directory: Path) -> None:
        """`path` is of its socket, `directory` that of the record of changes."""
        self._path, self._directory = path, directory
        self._link: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def take(self) -> Mapping[str, int]:
        if self._link is None and not self._connect():
            return {}
        assert self._link is not None
        try:
            self._link.send(b"take")
            data, descriptors, _, _ = socket.recv_fds(self._link, keeper.MESSAGE, keeper.MOST)
        except OSError:
            return {}
        return dict(zip(data.decode().split()[1:], descriptors, strict=False))

    def hold(self, descriptors: Mapping[str, int], grace: float) -> None:
        if self._link is None and not self._connect():
            self._start()
        assert self._link is not None
        message = " ".join(["hold", str(grace), *descriptors])
        socket.send_fds(self._link, [message.encode()], list(descriptors.values()))

    def has_gone(self) -> bool:
        if self._link is None:
            return False
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        return bool(poll.poll(0))  # it never speaks first, so this is the end

    def leave(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None

    def end(self) -> None:
        if self._link is not None or self._connect():
            assert self._link is not None
            with suppress(OSError):
                self._link.send(b"end")
                self._link.recv(1)  # nothing comes, but it has ended then
        self.leave()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)

    def _connect(self) -> bool:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.settimeout(PATIENCE)
        try:
            link.connect(str(self._path))
            keeper.check_peer(link)
        except OSError:
            link.close()
            return False
        self._link = link
        return True

    def _start(self) -> None:
        """Start a keeper, and connect. The socket is made here, so that there is nothing to wait for. Raises
        OSError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                listener.bind(str(self._path))
            finally:
                os.umask(before)
            listener.listen()
            undo = [sys.executable, "-c", UNDO, str(self._directory)]
            number = listener.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-IS", keeper.__file__, str(number), *undo],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[number],
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                cwd="/",
            )
        if not self._connect():
            raise OSError(f"{self._path} cannot be reached")


def make_holder(directory: Path) -> Holder:
    """Return the holder of this network namespace. `directory` is that of the record of changes."""
    namespace = os.stat("/proc/self/ns/net").st_ino
    return Keeper(directory / f"tun-{namespace}.keeper", directory)
