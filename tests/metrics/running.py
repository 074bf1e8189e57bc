"""A real gateway that is not started, so that no packet reaches it but those of the test, and its metrics."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ipmasq.core.side import Side
from ipmasq.gateway.file import File
from ipmasq.gateway.gateway import Gateway
from ipmasq.gateway.loop import Loop
from ipmasq.metrics.metrics import Metrics
from ipmasq.wire.packet import Packet

CONFIG = """
[gateway]
inside = ["10.0.0.0/16"]
outside = "lo"
public = ["203.0.113.1"]
ports = "20000-20099"
plane = "tun"
[[rule]]
action = "drop"
to = "198.51.100.99"
"""

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
OPENMETRICS = (
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
    b"Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n"
)


class Running:
    def __init__(self, directory: Path, more: str = "") -> None:
        self.path = str(directory / "metrics.sock")
        self.config = directory / "gateway.toml"
        self.config.write_text(CONFIG + more)
        self.loop = Loop()
        self.gateway = Gateway(File(self.config), self.loop, directory)
        self.metrics = Metrics(self.gateway, self.loop, self.gateway.listeners)

    def round(self) -> None:
        """Do one round of the loop, with its listeners told."""
        self.loop.later(0.002, lambda: None)
        self.loop.round()
        self.gateway._drive.publish()

    def send(self, packet: bytes, side: Side = Side.INSIDE) -> None:
        """Give the engine a packet, as the gateway does."""
        self.gateway._drive.receive(Packet(bytearray(packet)), side, self.loop.clock())

    def connect(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(0)
        link.connect(self.path)
        return link

    def ask(self, request: bytes = GET) -> tuple[bytes, bytes]:
        """Return the head and the body of the answer."""
        with self.connect() as link:
            link.send(request)
            head, _, body = self.read(link).partition(b"\r\n\r\n")
        return head, body

    def read(self, link: socket.socket, rounds: int = 2000) -> bytes:
        """Do rounds until the connection is closed, and return all that came."""
        received = b""
        for _ in range(rounds):
            self.round()
            try:
                chunk = link.recv(65536)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return received
            if not chunk:
                return received
            received += chunk
        raise AssertionError(f"still open after {rounds} rounds: {received[:100]!r}")

    def values(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Return every sample: by its name, and the values of its labels in the order of their names."""
        _, body = self.ask()
        return {
            (sample.name, tuple(sample.labels[key] for key in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }


@contextmanager
def running(directory: Path, more: str = "", **_: Any) -> Iterator[Running]:
    gateway = Running(directory, more)
    gateway.metrics.open(gateway.path)
    try:
        yield gateway
    finally:
        gateway.metrics.close()


@contextmanager
def turning(gateway: Running) -> Iterator[None]:
    """Turn the loop in a thread, for clients that wait."""
    stop = threading.Event()

    def turn() -> None:
        while not stop.is_set():
            gateway.round()

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
