"""FTP control connections as they really go, recorded once: the engine does the same again every time."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.core.engine import Engine
from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import ACK, PSH, SYN
from tests.bench.traffic import REMOTE, Sent, engine, segment

SESSIONS = 200
START = 1.0
SERVER = Endpoint(REMOTE, 21)


class Talk:
    """One connection: client inside, server outside, both as they see it."""

    def __init__(self, gateway: Engine, number: int, traffic: list[Sent]) -> None:
        self.client = Endpoint(bytes((10, 0, number >> 8, number & 0xFF)), 40000 + number)
        self._gateway = gateway
        self._traffic = traffic
        self._public = self.client
        self._next = {Side.INSIDE: 1000, Side.OUTSIDE: 5000}
        """The next sequence number of who speaks there, as he counts."""
        self._heard = {Side.INSIDE: 0, Side.OUTSIDE: 0}
        """The next that he waits for, as he counts."""

    def open(self) -> None:
        self._say(Side.INSIDE, SYN)
        self._say(Side.OUTSIDE, SYN | ACK)
        self._say(Side.INSIDE, ACK)

    def ask(self, line: bytes) -> None:
        self._say(Side.INSIDE, ACK | PSH, line + b"\r\n")

    def answer(self, line: bytes) -> None:
        self._say(Side.OUTSIDE, ACK | PSH, line + b"\r\n")

    def hear(self) -> None:
        """The client acknowledges, and has nothing to say."""
        self._say(Side.INSIDE, ACK)

    def _say(self, side: Side, flags: int, payload: bytes = b"") -> None:
        source, destination = (
            (self.client, SERVER) if side is Side.INSIDE else (SERVER, self._public)
        )
        data = segment(source, destination, self._next[side], self._heard[side], flags, payload)
        self._traffic.append(Sent(data, side))
        self._next[side] += len(payload) + (flags & SYN > 0)
        for packet in self._gateway.receive(Packet(bytearray(data)), side, START).packets:
            self._arrive(bytes(packet.data), Side.OUTSIDE if side is Side.INSIDE else Side.INSIDE)

    def _arrive(self, data: bytes, side: Side) -> None:
        if side is Side.OUTSIDE:
            self._public = Endpoint(data[12:16], int.from_bytes(data[20:22], "big"))
        size = len(data) - 20 - (data[32] >> 4) * 4 + (data[33] & SYN > 0)
        self._heard[side] = int.from_bytes(data[24:28], "big") + size


def script(talk: Talk) -> Iterator[None]:
    """A session with four active transfers and two passive ones; others speak at each `yield`."""
    talk.open()
    talk.answer(b"220 (vsFTPd 3.0.3)")
    for ask, answer in LOGIN:
        talk.ask(ask)
        talk.answer(answer)
        yield
    for number in range(6):
        port = 1025 + number * 7
        if number % 3 < 2:
            there = b",".join(b"%d" % byte for byte in talk.client.address)
            talk.ask(b"PORT %s,%d,%d" % (there, port >> 8, port & 0xFF))
            talk.answer(b"200 PORT command successful. Consider using PASV.")
        else:
            talk.ask(b"PASV")
            there = b",".join(b"%d" % byte for byte in REMOTE)
            talk.answer(b"227 Entering Passive Mode (%s,%d,%d)." % (there, 200, number))
        yield
        talk.ask(b"RETR linux-2.0.%d.tar.gz" % number)
        talk.answer(b"150 Opening BINARY mode data connection (7236712 bytes).")
        talk.hear()
        yield
        talk.answer(b"226 Transfer complete.")
        talk.hear()
        yield
    talk.ask(b"QUIT")
    talk.answer(b"221 Goodbye.")


LOGIN = (
    (b"USER anonymous", b"331 Please specify the password."),
    (b"PASS someone@example.org", b"230 Login successful."),
    (b"SYST", b"215 UNIX Type: L8"),
    (b"TYPE I", b"200 Switching to Binary mode."),
    (b"CWD /pub/linux/kernel", b"250 Directory successfully changed."),
)


def record() -> list[Sent]:
    """All sessions at the same time."""
    gateway, traffic = engine(), list[Sent]()
    waiting = [script(Talk(gateway, number, traffic)) for number in range(SESSIONS)]
    while waiting:
        waiting = [each for each in waiting if next(each, waiting) is None]
    assert gateway.helpers()[0].rewritten == 4 * SESSIONS
    assert not gateway.helpers()[0].refused
    return traffic
