"""The web application, served on loopback in a thread beside a gateway."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from ipmasq.front.upstream import Upstream
from ipmasq.front.web import replays, serving
from ipmasq.front.web.app import make_app

TOKEN = "a-token-of-the-tests-0123456789"


@dataclass(frozen=True)
class Served:
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(
    path: str, token: str | None = None, allows_changes: bool = False, port: int = 0
) -> Iterator[Served]:
    """Serve what the gateway at this socket shows. Replays have as much of the processor as the tests, so that they end in
    time on a busy machine, too."""
    with patch.object(replays, "NICE", os.getpriority(os.PRIO_PROCESS, 0)):
        yield from _served(path, token, allows_changes, port)


def _served(path: str, token: str | None, allows_changes: bool, port: int) -> Iterator[Served]:
    rules = serving.rules("127.0.0.1", ("gateway.example",), token)
    server = serving.server(make_app(Upstream(path), rules, allows_changes), "127.0.0.1", port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not (server.started and server.servers):
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield Served(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
