"""Real TCP stacks on both sides of an impaired path, over the tun plane."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from ipmasq.core.engine import Engine
from ipmasq.core.policy import Policy
from ipmasq.core.side import Side
from ipmasq.planes.fault import FaultPlane, Faults
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.wire.addresses import to_address, to_network
from tests.live.conftest import PUBLIC, REMOTE, Network

SIZE = 4_000_000
WEATHER = Faults(loss=0.02, duplication=0.05, delay=0.1, corruption=0.03, delay_seconds=0.01)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    try:
        made.up()
        yield made
    finally:
        made.down()


@contextmanager
def gateway(network: Network, directory: Path) -> Iterator[FaultPlane]:
    inside = to_network("10.0.0.0/24")
    public = to_address(PUBLIC)
    policy = Policy((inside,), (public,), frozenset({public}), ttl_delta=TunPlane.ttl_delta)
    engine = Engine(policy, Random(1).randrange, time.monotonic())
    tun = TunPlane("go", ("gi",), (inside,), directory)
    plane = FaultPlane(tun, dict.fromkeys(Side, WEATHER), Random(1), time.monotonic)
    over = threading.Event()

    def relay() -> None:
        while not over.is_set():
            for ready in select.select(plane.descriptors(), (), (), 0.05)[0]:
                while came := plane.receive(ready):
                    for packet in engine.receive(*came, time.monotonic()).packets:
                        plane.send(packet, came[1])

    with network.at("gw"):
        plane.open()
    relaying = threading.Thread(target=relay)
    try:
        with network.at("gw"):
            plane.claim(engine.claims())
        relaying.start()
        yield plane
    finally:
        over.set()
        if relaying.is_alive():
            relaying.join(5)
        plane.close()


@pytest.mark.live
@pytest.mark.parametrize("offload", [True, False], ids=["offload", "no-offload"])
def test_a_transfer_through_bad_weather_arrives_whole(
    network: Network, tmp_path: Path, offload: bool
) -> None:
    if not offload:
        for host in ("in", "out"):
            network.ip(host, "link set eth gso_max_segs 1")
    content = os.urandom(SIZE)
    with gateway(network, tmp_path) as plane:
        with network.at("out"):
            server = socket.create_server((REMOTE, 5001))
        with network.at("in"):
            client = socket.create_connection((REMOTE, 5001), 20)
        with client, closing(server), closing(server.accept()[0]) as accepted:
            sender = threading.Thread(target=send, args=(client, content))
            sender.start()
            accepted.settimeout(20)
            came = hashlib.sha256()
            while part := accepted.recv(65536):
                came.update(part)
            sender.join(20)
    assert came.digest() == hashlib.sha256(content).digest()
    # The path was impaired indeed.
    befell = plane.tallies.values()
    assert sum(t.lost + t.delayed + t.duplicated + t.corrupted for t in befell) >= 10


def send(client: socket.socket, content: bytes) -> None:
    client.sendall(content)
    client.shutdown(socket.SHUT_WR)
