"""Many packets of one flow, each of which is counted where it is sent and where it arrives."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.conftest import Network

SENDER = """\
import socket, sys, threading, time
poured, sent, over = socket.socket(fileno=int(sys.argv[1])), 0, threading.Event()
poured.setblocking(True)
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
began = time.monotonic()
while not over.is_set():
    for _ in range(min(64, int((time.monotonic() - began) * float(sys.argv[2])) - sent)):
        poured.send(b"one of very many")
        sent += 1
    time.sleep(0.0003)
print(sent, time.monotonic() - began)
"""


class Poured:
    """Packets per second and how many, after the end."""

    sent = arrived = 0
    rate = 0.0


def received(network: Network, host: str) -> int:
    """The number of IP packets that a host has received."""
    with network.at(host):
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Ip: "))
    return int(values[names.index("InReceives")])


@contextmanager
def pouring(network: Network, client: socket.socket, rate: int) -> Iterator[Poured]:
    """Send datagrams by a connected socket to the outside host all the time."""
    poured, before = Poured(), received(network, "out")
    number = client.fileno()
    with subprocess.Popen(
        [sys.executable, "-c", SENDER, str(number), str(rate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[number],
    ) as sender:
        try:
            yield poured
        finally:
            sent, seconds = sender.communicate(timeout=10)[0].split()
        time.sleep(0.2)  # for those that are in a queue
    poured.sent, poured.rate = int(sent), int(sent) / float(seconds)
    poured.arrived = received(network, "out") - before
