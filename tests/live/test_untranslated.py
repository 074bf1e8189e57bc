"""No packet leaves with an inside address while a gateway ends, and what it has left is undone (attack A-37)."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.background import in_background
from tests.live.conftest import INSIDE_HOST, REMOTE, Network, Running
from tests.live.continuity.pouring import received
from tests.live.test_tun import udp_socket
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>

PAUSE = 2e-4
"""Seconds between two datagrams: undoing takes some milliseconds."""


@contextmanager
def flood(network: Network) -> Iterator[None]:
    """Datagrams of an inside host to very many ports, all the time."""

    def send(ended: threading.Event) -> None:
        with udp_socket(network, "in") as sending:
            while not ended.is_set():
                for port in range(2000, 4000):
                    with suppress(OSError):
                        sending.sendto(b"flood", (REMOTE, port))
                    if ended.wait(PAUSE):
                        break

    with in_background(send):
        yield


@contextmanager
def seen_outside(network: Network) -> Iterator[list[str]]:
    """The source addresses of all that arrives outside."""
    with network.at("out"):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    wire.bind(("eth", 0x0800))
    wire.settimeout(0.2)
    found: list[str] = []
    with wire:
        yield found
        with suppress(TimeoutError):
            while True:
                data, address = wire.recvfrom(65535)
                if address[2] != socket.PACKET_OUTGOING:
                    found.append(socket.inet_ntoa(data[12:16]))


@pytest.mark.row("A-37")
@pytest.mark.parametrize("plane", ["tun", "ebpf-tc", "ebpf-xdp"])
def test_no_inside_address_leaves_while_a_gateway_ends_or_what_it_left_is_undone(
    network: Network, gateway: Callable[..., Running], plane: str
) -> None:
    with seen_outside(network) as found, flood(network):
        first = gateway(plane=plane)
        assert eventually(lambda: received(network, "out") > 200)
        first.stop(signal.SIGKILL)
        gateway(plane=plane).stop(signal.SIGTERM)
        time.sleep(0.1)
    assert len(found) > 100
    assert INSIDE_HOST not in found
