"""How long a line of an FTP control connection waits while one process of the gateway takes over from another: by a
restart (SIGUSR2, then a start), after a crash (SIGKILL, then a start), and by an upgrade (`ipmasq upgrade`).

What a service manager waits before it starts a process again comes on top.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from tests.bench.figures import Figure, bench
from tests.hostile import ftp
from tests.hostile.gateway import Gateway
from tests.hostile.network import PUBLIC, Network

PLANES = {"tun": "tun", "ebpf": "ebpf-tc"}
"""By the word in the figure's name."""

LEAST = 10
"""Changes of the process that are measured at least."""

PATIENCE = 60.0
"""Seconds that a line may wait."""


@bench("pause")
def pauses(runs: int) -> Iterator[Figure]:
    for word, plane in PLANES.items():
        network = Network(plane, f"pause{os.getpid()}{word}")
        try:
            for how, change in (("restart", _restart), ("crash", _crash), ("upgrade", _upgrade)):
                waited = list(_waited(network, change, max(runs, LEAST)))
                yield Figure(f"pause.{how}.{word}.s", "s", waited)
        finally:
            network.close()


def _waited(network: Network, change: Callable[[Network], None], runs: int) -> Iterator[float]:
    """Yield the longest that a line has waited at each change, in seconds."""
    with network.serving({}), network.connection(21) as (near, far):
        for end in (near, far):
            end.settimeout(PATIENCE)
        ftp.session(near, far, PUBLIC)
        for _ in range(runs):
            with Lines(near, far) as lines:
                change(network)
            yield lines.longest
        _end(network)  # `serving` knows the first one only


def _restart(network: Network) -> None:
    _again(network, signal.SIGUSR2)


def _crash(network: Network) -> None:
    _again(network, signal.SIGKILL)


def _upgrade(network: Network) -> None:
    network.gateway.ask("upgrade")


def _end(network: Network) -> None:
    """End the gateway, which is no child of this process after an upgrade."""
    process = os.pidfd_open(network.gateway.rows("status")[0]["process"])
    signal.pidfd_send_signal(process, signal.SIGTERM)
    assert select.select([process], [], [], PATIENCE)[0]
    os.close(process)


def _again(network: Network, how: signal.Signals) -> None:
    network.gateway.process.send_signal(how)
    network.gateway.process.wait(PATIENCE)
    network.gateway = Gateway(network.lab, network.plane, {})


class Lines:
    """Commands and answers one after the other, in a thread."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._near, self._far = near, far
        self.longest = 0.0
        """Seconds that a command and its answer have taken at most."""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._talk)

    def __enter__(self) -> Self:
        self._thread.start()
        time.sleep(0.5)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        time.sleep(0.5)
        self._ends.set()
        self._thread.join(PATIENCE)

    def _talk(self) -> None:
        while not self._ends.is_set():
            began = time.monotonic()
            self._near.sendall(b"NOOP\r\n")
            ftp.line(self._far)
            self._far.sendall(b"200 done\r\n")
            ftp.line(self._near)
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(0.002)
