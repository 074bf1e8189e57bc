"""A gateway that is upgraded: `ipmasq run`, the process that runs now, and its log."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ipmasq.control.client import Client, UnreachableError
from ipmasq.control.protocol import RequestError
from tests.live.conftest import Network
from tests.namespaces import within

PATIENCE = 90.0
"""Seconds that anything may take on a busy machine."""

STEPPING = Path(__file__).with_name("stepping.py")

CONFIG = """
[gateway]
inside = "gi"
outside = "go"
plane = "{plane}"
[control]
socket = "{directory}/control.sock"
[[forward]]
name = "ftp"
protocol = "tcp"
port = 21
to = "10.0.0.2:21"
"""


def eventually(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)


class Gateway:
    def __init__(self, network: Network, directory: Path, plane: str, more: str = "") -> None:
        """`more` is text for the configuration file."""
        self.network = network
        self.config = directory / "gateway.toml"
        self.text = CONFIG.format(plane=plane, directory=directory) + more
        self.config.write_text(self.text)
        self._steps = directory / "step"
        self.at("-", "-")
        self.socket = directory / "control.sock"
        self._log = directory / "gateway.log"
        command = [sys.executable, str(STEPPING), str(self._steps), "run", "--log", "text"]
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                within(network.name("gw"), *command, str(self.config)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def begin(self) -> None:
        """Wait until it runs."""
        eventually(lambda: self._runs() or self.process.poll() is not None, "it runs")
        assert self.process.poll() is None, self.said()

    def _runs(self) -> bool:
        try:
            self.status()
        except (UnreachableError, OSError):
            return False
        return True

    def status(self) -> dict[str, Any]:
        with Client(str(self.socket)) as client:
            (status,) = client.rows("status")
        return dict(status)

    def offloaded(self) -> int:
        """The packets that the fast path has forwarded, as far as the gateway has read."""
        with Client(str(self.socket)) as client:
            return sum(
                int(row["packets"]) for row in client.rows("stats") if row["reason"] == "offloaded"
            )

    def at(self, step: str, what: str) -> None:
        """Let this happen to the next successor; see `stepping`."""
        self._steps.write_text(f"{step} {what}")

    def said(self) -> str:
        return self._log.read_text()

    def upgrade(self) -> str:
        """Return why the gateway was not upgraded; empty if it was."""
        try:
            with Client(str(self.socket), PATIENCE) as client:
                client.ask("upgrade")
        except RequestError as error:
            return str(error)
        return ""

    def living(self) -> set[int]:
        """The processes of `ipmasq run` in this network namespace that live, not counting those that are being ended."""
        namespace = os.stat(f"/run/netns/{self.network.name('gw')}").st_ino
        found = set()
        for each in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                line = (each / "cmdline").read_bytes()
                is_here = (each / "ns" / "net").stat().st_ino == namespace
                is_zombie = (each / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
                if is_here and str(self.config).encode() in line and not is_zombie:
                    found.add(int(each.name))
        return found

    def wait(self) -> int:
        """Wait for the end of the first process, and return its exit code."""
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End whatever runs, in order."""
        for each in self.living():
            self._end(each, signal.SIGTERM)
        for each in self.living():
            self._end(each, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def _end(self, process: int, how: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(process)
            try:
                signal.pidfd_send_signal(descriptor, how)
                select.select([descriptor], [], [], 30)
            finally:
                os.close(descriptor)


@contextmanager
def running(network: Network, directory: Path, plane: str, more: str = "") -> Iterator[Gateway]:
    gateway = Gateway(network, directory, plane, more)
    try:
        gateway.begin()
        yield gateway
    finally:
        gateway.stop()
