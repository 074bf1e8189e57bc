"""Whoever may only look asks about the firewall as fast as they can: every packet arrives nevertheless."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ipmasq.control.client import Client
from tests.live.as_users import started
from tests.live.conftest import REMOTE, Network
from tests.live.firewalls import load

pytestmark = pytest.mark.live

CONFIG = """
[gateway]
inside = "gi"
outside = "go"
plane = "tun"
[control]
socket = "{0}/control.sock"
view_socket = "{0}/view.sock"
view_group = "nogroup"
"""
ASKERS = 8
RULES = 5000
"""That many rules take the better part of a second to read, in which no packet was forwarded."""
DATAGRAMS = 2500
PER_SECOND = 2000
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>
ASKED = {"protocol": "tcp", "source": "10.0.0.2:40000", "destination": f"{REMOTE}:21"}


def rules() -> str:
    drops = (
        f"-A FORWARD -s 10.9.{number >> 8}.{number & 255}/32 -p tcp -m tcp --dport 2000 -j DROP\n"
        for number in range(RULES)
    )
    return f"*filter\n:FORWARD ACCEPT [0:0]\n{''.join(drops)}COMMIT\n"


@contextmanager
def asking(path: str) -> Iterator[list[int]]:
    """Ask meanwhile, in so many clients. Yields how often each was answered."""
    over = threading.Event()
    answered = [0] * ASKERS

    def ask(number: int) -> None:
        with Client(path) as client:
            while not over.is_set():
                (found,) = client.rows("explain", **ASKED)
                assert found["firewall"] == []
                answered[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(ASKERS)]
    for each in threads:
        each.start()
    try:
        yield answered
    finally:
        over.set()
        for each in threads:
            each.join(60)


def sent_and_received(network: Network) -> int:
    """Send datagrams at a steady rate from inside; how many arrive."""
    with network.at("out"):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        receiver.bind((REMOTE, 9000))
        receiver.settimeout(2)
    with network.at("in"):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect((REMOTE, 9000))
    pace = threading.Event()
    with closing(receiver), closing(sender):
        for number in range(DATAGRAMS):
            sender.send(number.to_bytes(4, "big"))
            if number % 4 == 3:
                pace.wait(4 / PER_SECOND)
        arrived = set()
        try:
            while len(arrived) < DATAGRAMS:
                arrived.add(receiver.recv(100))
        except TimeoutError:
            pass
    return len(arrived)


def test_every_packet_arrives_while_many_ask_which_rules_obstruct_a_flow(
    network: Network, tmp_path: Path
) -> None:
    load(network, rules(), "iptables-legacy")
    file, view = tmp_path / "gateway.toml", tmp_path / "view.sock"
    file.write_text(CONFIG.format(tmp_path))
    with started(network, file, view):
        assert sent_and_received(network) == DATAGRAMS
        with asking(str(view)) as answered:
            assert sent_and_received(network) == DATAGRAMS
        assert all(answered)
