"""A gateway as users start it: `ipmasq run FILE`, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.live.conftest import Network

LIMIT = 60.0
"""Seconds within which it must have started. Many tests run at the same time."""


@dataclass
class Started:
    process: subprocess.Popen[str]
    said: str = ""
    """Its log, once it has ended."""


@contextmanager
def started(network: Network, file: Path, socket: Path) -> Iterator[Started]:
    """It has opened its control socket, and is ended after the block, unless it has been."""
    process = network.start("gw", sys.executable, "-m", "ipmasq", "run", str(file))
    gateway = Started(process)
    try:
        deadline = time.monotonic() + LIMIT
        while not socket.exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "it has not opened its socket"
            time.sleep(0.05)
        yield gateway
    finally:
        if process.poll() is None:
            process.terminate()
        gateway.said = process.communicate(timeout=LIMIT)[0]
