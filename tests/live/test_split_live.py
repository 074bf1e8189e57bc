"""Real TCP stacks on both sides of an inspected connection: split commands, Nagle, loss, disorder."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.live.conftest import REMOTE, Network

pytestmark = pytest.mark.live

PORT = b"PORT 10,0,0,2,4,1\r\n"
PATIENCE = 60.0


@contextmanager
def gateway(network: Network, seed: int = 1, **faults: float) -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("impairment_gateway.py")
    running = network.start("gw", sys.executable, str(script), str(seed), json.dumps(faults))
    assert running.stdout
    try:
        first = running.stdout.readline()
        assert first.strip() == "ready", first + running.stdout.read()
        yield running
    finally:
        running.terminate()
        try:
            said = running.communicate(timeout=10)[0]
        finally:
            running.kill()
    # It says how many packets met with an accident, and nothing else.
    assert (int(said) > 0) is bool(faults), said


@contextmanager
def connected(
    network: Network, server: socket.socket, nodelay: bool
) -> Iterator[tuple[socket.socket, socket.socket]]:
    with network.at("in"):
        client = socket.create_connection((REMOTE, 21), PATIENCE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
    accepted = server.accept()[0]
    accepted.settimeout(PATIENCE)
    with client, accepted:
        yield client, accepted


def read_all(connection: socket.socket, text: bytearray) -> None:
    while data := connection.recv(65536):
        text += data


@pytest.fixture
def server(network: Network) -> Iterator[socket.socket]:
    with network.at("out"):
        listening = socket.create_server((REMOTE, 21))
    listening.settimeout(PATIENCE)
    with listening:
        yield listening


@pytest.mark.row("1123-10", "6384-5str")
@pytest.mark.parametrize("nodelay", [True, False], ids=["without Nagle", "with Nagle"])
def test_a_command_split_at_every_byte_is_rewritten_by_real_stacks(
    network: Network, server: socket.socket, nodelay: bool
) -> None:
    with gateway(network), connected(network, server, nodelay) as (client, accepted):
        for cut in range(1, len(PORT)):
            client.sendall(PORT[:cut])
            # The rest is written at once: with Nagle it leaves when the first part is acknowledged.
            client.sendall(PORT[cut:])
            line = b""
            while not line.endswith(b"\r\n"):
                line += accepted.recv(1000)
            assert re.fullmatch(rb"PORT 203,0,113,1,\d+,\d+\r\n", line), (cut, line)


@pytest.mark.row("1123-10")
@pytest.mark.parametrize("nodelay", [True, False], ids=["without Nagle", "with Nagle"])
def test_a_command_one_byte_at_a_time_is_rewritten_by_real_stacks(
    network: Network, server: socket.socket, nodelay: bool
) -> None:
    with gateway(network), connected(network, server, nodelay) as (client, accepted):
        for _ in range(3):
            for byte in PORT:
                client.sendall(bytes((byte,)))
            line = b""
            while not line.endswith(b"\r\n"):
                line += accepted.recv(1000)
            assert re.fullmatch(rb"PORT 203,0,113,1,\d+,\d+\r\n", line)


WEATHER = [
    {"loss": 0.05, "loss_after": 0.05},
    {"delay": 0.3, "delay_packets": 4, "delay_seconds": 0.01, "duplication": 0.1},
    {
        "loss": 0.03,
        "loss_after": 0.03,
        "delay": 0.1,
        "delay_seconds": 0.01,
        "duplication": 0.05,
        "corruption": 0.03,
    },
]


@pytest.mark.row("SEQ-3", "SEQ-4", "SEQ-9", "SEQ-10", "A-18")
@pytest.mark.parametrize("faults", WEATHER, ids=["loss", "disorder", "all of it"])
def test_both_streams_arrive_whole_through_bad_weather(
    network: Network, server: socket.socket, faults: dict[str, float]
) -> None:
    chance = Random(5)
    commands = [
        b"PORT 10,0,0,2,%d,%d\r\n" % (chance.randint(4, 255), chance.randint(0, 255))
        if chance.random() < 0.3
        else b"STAT " + b"x" * chance.randint(0, 300) + b"\r\n"
        for _ in range(1500)
    ]
    replies = b"".join(
        b"200 reply %d%s\r\n" % (n, b"." * chance.randint(0, 200)) for n in range(3000)
    )
    with (
        gateway(network, **faults) as running,
        connected(network, server, True) as (client, accepted),
    ):
        running.send_signal(signal.SIGUSR1)
        assert running.stdout
        assert running.stdout.readline().strip() == "storm"
        at_server, at_client = bytearray(), bytearray()
        readers = [
            threading.Thread(target=read_all, args=(accepted, at_server), daemon=True),
            threading.Thread(target=read_all, args=(client, at_client), daemon=True),
            threading.Thread(target=accepted.sendall, args=(replies,), daemon=True),
        ]
        for reader in readers:
            reader.start()
        for command in commands:
            client.sendall(command)
        client.shutdown(socket.SHUT_WR)
        readers[0].join(60)
        readers[2].join(60)
        accepted.shutdown(socket.SHUT_WR)
        readers[1].join(60)
    assert bytes(at_client) == replies
    lines = bytes(at_server).split(b"\r\n")
    assert len(lines) == len(commands) + 1
    for said, heard in zip(commands, lines, strict=False):
        if said.startswith(b"STAT"):
            assert heard + b"\r\n" == said
        else:
            assert re.fullmatch(rb"PORT 203,0,113,1,\d+,\d+", heard)
