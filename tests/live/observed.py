"""`ipmasq run` in the gateway's namespace, with its log in a file, and who observes it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.conftest import INSIDE_HOST, REMOTE, Network
from tests.namespaces import within

CONFIG = """
[gateway]
inside = "gi"
outside = "go"
plane = "{plane}"
[control]
socket = "{directory}/control.sock"
"""

LIMIT = 30.0


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"not within {LIMIT} s: {what}"
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Gateway:
    def __init__(self, network: Network, directory: Path, more: str, plane: str = "tun") -> None:
        self.network = network
        self.config = directory / "gateway.toml"
        self.config.write_text(CONFIG.format(plane=plane, directory=directory) + more)
        self.log = directory / "gateway.log"
        command = [sys.executable, "-m", "ipmasq", "run", "-c", str(self.config)]
        with self.log.open("w") as log:
            self.process = spawn(network, "gw", log, *command)
        until(lambda: "the gateway runs" in self.log.read_text(), "the gateway runs")

    def reload(self, text: str | None = None) -> None:
        """Reload, and wait until that is logged."""
        if text is not None:
            self.config.write_text(text)
        before = self.log.read_text().count("reloaded:")
        os.kill(self.process.pid, 1)
        until(lambda: self.log.read_text().count("reloaded:") > before, "a reload")


def spawn(network: Network, host: str, output: object, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        within(network.name(host), *command),
        stdin=subprocess.DEVNULL,
        stdout=output,  # type: ignore[arg-type]
        stderr=subprocess.STDOUT,
    )


@contextmanager
def running(network: Network, directory: Path, more: str, plane: str = "tun") -> Iterator[Gateway]:
    gateway = Gateway(network, directory, more, plane)
    try:
        yield gateway
    finally:
        stop(gateway.process)


def talk(network: Network, port: int, datagrams: int = 4) -> tuple[str, int]:
    """Send datagrams from the inside host to the outside one, with answers. Return the public endpoint."""
    with network.at("out"):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with network.at("in"):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, client:
        server.settimeout(LIMIT)
        client.settimeout(LIMIT)
        server.bind((REMOTE, 5300))
        client.bind((INSIDE_HOST, port))
        for _ in range(datagrams):
            client.sendto(b"question", (REMOTE, 5300))
            _, public = server.recvfrom(100)
            server.sendto(b"answer", public)
            assert client.recv(100) == b"answer"
        return public
