"""Small gateways as forks of one process that has imported them: to import all modules anew takes 0.7 s of a processor
each time, most of what a short live test costs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from pyroute2 import netns

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.live.small_gateway"])


class Forked:
    """A gateway in a process of its own, in a network namespace; used as `subprocess.Popen` is, of which it has what the
    tests need."""

    def __init__(self, namespace: str, path: Path) -> None:
        """`path`: what `small_gateway.main` is told."""
        reading, writing = _context.Pipe(duplex=False)
        told = (namespace, str(path), writing, dict(os.environ), str(Path.cwd()))
        self._process = _context.Process(target=_run, args=told, daemon=True)
        self._process.start()
        writing.close()
        self._reading = reading
        self.stdout = open(reading.fileno(), encoding="utf-8", closefd=False)  # noqa: SIM115
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("the gateway", timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Raises subprocess.TimeoutExpired."""
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(self.stdout.read()), daemon=True)
        reader.start()
        reader.join(timeout)
        if reader.is_alive():
            raise subprocess.TimeoutExpired("the gateway", timeout or 0)
        self.wait(timeout)
        self.stdout.close()
        self._reading.close()
        return said[0], None


def _run(
    namespace: str, path: str, out: Connection, environment: dict[str, str], directory: str
) -> None:
    from tests.live import small_gateway

    for descriptor in (1, 2):
        os.dup2(out.fileno(), descriptor)
    out.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    netns.setns(namespace)
    small_gateway.main(path)
