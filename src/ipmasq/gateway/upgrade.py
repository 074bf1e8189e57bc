"""A planned change to another process, of a newer version or the same: the successor does everything that takes long
while this process still forwards, and only then are the state and the devices left to it.

They speak over a pair of sockets. The successor writes one byte when it is ready, and then waits until the other end is
closed: everything is left by then, also if the process was killed (see docs/adr/0024).
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import subprocess
from collections.abc import Callable, Sequence

from ipmasq.gateway.host import notify_systemd
from ipmasq.gateway.loop import Loop

log = logging.getLogger("ipmasq")

PATIENCE = 30.0
"""Seconds that a successor may take to get ready."""

LOOK = 0.02
"""Seconds between two looks at the successor."""

ANSWERED = 0.1
"""Seconds from the successor's being ready until everything is left to it, for the answer to whoever has asked."""

OPTION = "--successor"
"""The option of `ipmasq run` by which a successor is given its end of the pair."""


class Predecessor:
    """The process from which this one takes over."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def follow(self, _: object) -> None:
        """Wait for it, the first time that the configuration was read without a mistake."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            # What was loaded until now stays, so that collections after this need not look at it.
            gc.collect()
            gc.freeze()
            wait(descriptor)


def wait(descriptor: int) -> None:
    """Let the predecessor leave everything, and wait until it has. Returns at once if it has ended."""
    with socket.socket(fileno=descriptor) as end:
        try:
            end.send(b"r")
            end.recv(1)
        except OSError:
            return  # it has ended in another way; what it has left is found as after a crash


class Upgrade:
    """The successor of this process, if one was asked for."""

    def __init__(self, loop: Loop, command: Sequence[str], leave: Callable[[], None]) -> None:
        """`command` runs a gateway as this process was run. `leave` ends this process and leaves everything to its
        successor."""
        self._loop = loop
        self._command = tuple(command)
        self._leave = leave
        self._process: subprocess.Popen[bytes] | None = None
        self._end: socket.socket | None = None
        self._deadline = 0.0
        self.is_ready = False
        self.trouble = ""
        """Why the last successor did not get ready."""

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def successor(self) -> int:
        """The process of the successor, while there is one."""
        return self._process.pid if self._process is not None else 0

    def begin(self) -> None:
        """Start the successor, unless one is on its way. Raises OSError."""
        if self.is_running:
            return
        mine, its = socket.socketpair()
        # It is not the process of which systemd expects to be told that all is well, until it is told so.
        environment = {name: os.environ[name] for name in os.environ if name != "WATCHDOG_PID"}
        try:
            self._process = subprocess.Popen(
                [*self._command, OPTION, str(its.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(its.fileno(),),
                env=environment,
            )
        except OSError:
            mine.close()
            raise
        finally:
            its.close()
        mine.setblocking(False)
        self._end, self._deadline, self.trouble = mine, self._loop.clock() + PATIENCE, ""
        log.info("process %d is started to take over", self._process.pid)
        self._loop.later(LOOK, self._look)

    def end(self) -> None:
        """Let the successor go on, since everything is left to it; or end it, if it was not ready."""
        if self._process is not None and not self.is_ready:
            self._process.kill()
            self._process.wait()
        if self._end is not None:
            self._end.close()

    def _look(self) -> None:
        assert self._process is not None
        assert self._end is not None
        try:
            ready = self._end.recv(1)
        except BlockingIOError:
            if self._loop.clock() < self._deadline:
                self._loop.later(LOOK, self._look)
                return
            self._process.kill()
            ready = b""
        if ready:
            self.is_ready = True
            self._loop.later(ANSWERED, self._go)
            return
        code = self._process.wait()
        what = (
            f"ended with exit code {code}" if code >= 0 else f"was not ready after {PATIENCE:g} s"
        )
        self.trouble = f"the new process {what}, and this one goes on; the log says why"
        log.error("%s", self.trouble)
        self._end.close()
        self._process = self._end = None

    def _go(self) -> None:
        # From here on systemd listens to the successor alone (NotifyAccess=main).
        notify_systemd(f"MAINPID={self.successor}")
        self._leave()
