"""How long a line of an FTP control connection waits while one process of the gateway takes over from another: by a
restart (SIGUSR2, then a start), after a crash (SIGKILL, then a start), and by an upgrade (`ipmasq upgrade`), also one of a gateway
with many other flows.

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
from tests.hostile.network import PUBLIC, SERVER, Network
from tests.hostile.packets import udp

PLANES = {"tun": "tun", "ebpf": "ebpf-tc"}
"""By the word in the figure's name."""

FLOWS, HOSTS, PACE = 20_000, 20, 4000
"""Datagram flows of the gateway that has many, from so many hosts, opened at so many in a second."""

ROUNDS = 10
"""How often they are opened at most, until all are there."""

SETTINGS = {"timeouts": {"udp": "1h"}}
"""So that they are all there until the end."""

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
            waited = list(_waited(network, _upgrade, max(runs, LEAST), FLOWS))
            yield Figure(f"pause.upgrade.{word}.{FLOWS}.s", "s", waited)
        finally:
            network.close()


def _waited(
    network: Network, change: Callable[[Network], None], runs: int, flows: int = 0
) -> Iterator[float]:
    """Yield the longest that a line has waited at each change, in seconds, with so many other flows."""
    with network.serving(SETTINGS), network.connection(21) as (near, far):
        _open(network, flows)
        for end in (near, far):
            end.settimeout(PATIENCE)
        ftp.session(near, far, PUBLIC)
        for _ in range(runs):
            with Lines(near, far) as lines:
                change(network)
            yield lines.longest
        _end(network)  # `serving` knows the first one only


def _open(network: Network, count: int) -> None:
    """Open datagram flows. A datagram that was lost on the way is sent again."""
    ports = range(5000, 5000 + count // HOSTS)
    hosts = [f"10.0.0.{100 + number}" for number in range(HOSTS)]
    for _ in range(ROUNDS):
        if network.gateway.rows("status")[0]["flows"] >= count:
            return
        datagrams = (udp((host, port), (SERVER, 9)) for port in ports for host in hosts)
        network.inside.pour(datagrams, PACE)
    raise AssertionError("the flows cannot be opened")


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
    network.gateway = Gateway(network.lab, network.plane, SETTINGS)


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
