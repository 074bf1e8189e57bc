"""A real redis-server of a test, on a Unix socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from ipmasq.continuity.sentinels import Connector
from ipmasq.continuity.server import Address

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")


class Store:
    def __init__(self, directory: Path, *options: str) -> None:
        self._socket = directory / "store"
        self._options = options if "--port" in options else ("--port", "0", *options)
        self._directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        self.password: str | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def connect(self) -> Connector:
        return Connector(Address.parse(self.url))

    def client(self) -> Any:
        return redis.Redis.from_url(self.url, password=self.password)

    def start(self) -> None:
        """Start it, empty."""
        assert SERVER is not None
        self.process = subprocess.Popen(
            [SERVER, "--unixsocket", self._socket, "--save", "", *self._options],
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.answers)

    def answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def hang(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


def wait_until(true: Callable[[], object], limit: float = 10.0) -> None:
    """Wait for a condition. Fails after `limit` seconds."""
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, "this did not happen"
        time.sleep(0.005)
