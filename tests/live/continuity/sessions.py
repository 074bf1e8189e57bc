"""What goes on through a gateway while it is restarted: real TCP stacks, which speak FTP by a few lines."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from random import Random

from tests.live.conftest import INSIDE_HOST, PUBLIC, REMOTE, Network
from tests.live.waiting import PATIENCE

FORWARDS = [["ftp", 6, 21, INSIDE_HOST, 21]]


BUSY = 90.0
"""Seconds in which even a busy machine has a gateway running again."""


def exactly(connection: socket.socket, count: int) -> bytes:
    text = b""
    while len(text) < count:
        came = connection.recv(count - len(text))
        assert came, "the connection was closed"
        text += came
    return text


def accepted(listening: socket.socket) -> socket.socket:
    listening.settimeout(PATIENCE)
    connection = listening.accept()[0]
    connection.settimeout(BUSY)
    return connection


class Line:
    """One end of a control connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._text = b""

    def say(self, text: str) -> None:
        self.connection.sendall(text.encode() + b"\r\n")

    def hear(self) -> str:
        while b"\r\n" not in self._text:
            came = self.connection.recv(4096)
            assert came, "the connection was closed"
            self._text += came
        line, self._text = self._text.split(b"\r\n", 1)
        return line.decode()


def endpoint(line: str) -> tuple[str, int]:
    """Where a PORT command or a 227 reply says that its speaker listens."""
    numbers = re.findall(r"\d+", line)[-6:]
    return ".".join(numbers[:4]), int(numbers[4]) << 8 | int(numbers[5])


def announced(address: str, port: int) -> str:
    return f"{address.replace('.', ',')},{port >> 8},{port & 255}"


class Control:
    """An FTP control connection between a client and a server, of which one is inside."""

    def __init__(self, network: Network, client: str, server: str) -> None:
        self.network = network
        self.hosts = client, server
        own = INSIDE_HOST if server == "in" else REMOTE
        with network.at(server):
            self.listening = socket.create_server((own, 21))
        with network.at(client):
            connection = socket.create_connection(
                (PUBLIC if server == "in" else REMOTE, 21), PATIENCE
            )
        self.client, self.server = Line(connection), Line(accepted(self.listening))
        self.told: list[str] = []
        """Every announcement as the other end has heard it."""

    def greet(self) -> None:
        self.server.say("220 ready")
        assert self.client.hear() == "220 ready"

    def talk(self, what: str) -> None:
        """Say something in both directions."""
        self.client.say(f"STAT {what}")
        assert self.server.hear() == f"STAT {what}"
        self.server.say(f"211 {what}")
        assert self.client.hear() == f"211 {what}"

    def announce(self) -> socket.socket:
        """The end that is inside announces where it listens; that socket."""
        inside = self.hosts.index("in")
        with self.network.at("in"):
            listening = socket.create_server((INSIDE_HOST, 0))
        text = announced(INSIDE_HOST, listening.getsockname()[1])
        if inside == 0:
            self.client.say(f"PORT {text}")
            self.told.append(self.server.hear())
        else:
            self.client.say("PASV")
            assert self.server.hear() == "PASV"
            self.server.say(f"227 Entering Passive Mode ({text})")
            self.told.append(self.client.hear())
        assert endpoint(self.told[-1])[0] == PUBLIC
        return listening

    def meet(self, listening: socket.socket) -> tuple[socket.socket, socket.socket]:
        """The other end connects to what it was told; both ends of the data connection, the inside one first."""
        with self.network.at("out"):
            outside = socket.create_connection(endpoint(self.told[-1]), PATIENCE)
        with listening:
            return accepted(listening), outside

    def transfer(self) -> None:
        """A data connection from its announcement to its end."""
        self.carry(*self.meet(self.announce()))

    @staticmethod
    def carry(inside: socket.socket, outside: socket.socket) -> None:
        with inside, outside:
            for one, other in ((inside, outside), (outside, inside)):
                one.sendall(b"file" * 1000)
                assert exactly(other, 4000) == b"file" * 1000

    def close(self) -> None:
        for each in (self.client.connection, self.server.connection, self.listening):
            each.close()


class Bulk:
    """A transfer that goes on all the time, until it is told to end."""

    def __init__(self, sender: socket.socket, receiver: socket.socket) -> None:
        self._ends = sender, receiver
        self._stop = threading.Event()
        self.sent, self.received = sha256(), sha256()
        self.bytes = 0
        self.failures: list[OSError] = []
        self._threads = [threading.Thread(target=each) for each in (self._send, self._receive)]
        for each in self._threads:
            each.start()

    def _send(self) -> None:
        chance = Random(1)
        sender = self._ends[0]
        sender.settimeout(BUSY)
        try:
            while not self._stop.is_set():
                data = chance.randbytes(1 << 16)
                sender.sendall(data)
                self.sent.update(data)
                time.sleep(0.01)
            sender.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.failures.append(error)

    def _receive(self) -> None:
        receiver = self._ends[1]
        receiver.settimeout(BUSY)
        try:
            while data := receiver.recv(1 << 16):
                self.received.update(data)
                self.bytes += len(data)
        except OSError as error:
            self.failures.append(error)

    def end(self) -> None:
        """Raise AssertionError unless everything arrived."""
        self._stop.set()
        for each in self._threads:
            each.join()
        for each in self._ends:
            each.close()
        assert not self.failures
        assert self.sent.digest() == self.received.digest()


@contextmanager
def control(network: Network, client: str, server: str) -> Iterator[Control]:
    made = Control(network, client, server)
    try:
        yield made
    finally:
        made.close()


def connect(
    network: Network, stack: ExitStack, port: int, count: int
) -> list[tuple[socket.socket, socket.socket]]:
    """Connections from inside: both ends of each."""
    with network.at("out"):
        listening = stack.enter_context(socket.create_server((REMOTE, port), backlog=count))
    made = []
    for _ in range(count):
        with network.at("in"):
            client = stack.enter_context(socket.create_connection((REMOTE, port), PATIENCE))
        made.append((client, stack.enter_context(accepted(listening))))
    return made
