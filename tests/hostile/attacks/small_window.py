"""A server that takes no more than ten bytes at a time must get a longer PORT command nevertheless.

The gateway acknowledges the beginning of the line for the server; what it acknowledges takes room in a window
that is smaller than the line, and must not close it for ever. The client is a real one, the server is the attack.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.hostile.ghost import SERVER_START
from tests.hostile.network import CLIENT, GHOST_OUT, Network
from tests.hostile.packets import ACK, FIN, RST, SYN, Facts, mss, read, tcp
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 5"
WINDOW = 10
PATIENCE = 20.0
"""Seconds; the client probes a closed window after about 0.2, 0.4, ... s."""


def attack(network: Network) -> Verdict:
    server = Server(network)
    with network.tcp(CLIENT) as near:
        near.setblocking(False)
        near.connect_ex((GHOST_OUT, 21))
        server.serve(3.0, lambda: server.open)
        control(server.open, "no handshake")
        near.sendall(b"NOOP\r\nPORT 10,0,0,2,200,10\r\nNOOP\r\n")
        server.serve(PATIENCE, lambda: server.heard.count(b"\r\n") == 3)
    heard = bytes(server.heard)
    lines = heard.split(b"\r\n")
    good = len(lines) == 4 and lines[1].startswith(b"PORT 203,0,113,1,")
    return held_if(good, f"in {PATIENCE:.0f} s at most, the server has heard {heard!r}")


class Server:
    """A TCP that takes what comes in order, as far as its window goes, and acknowledges it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.tap = network.tap("net", "transit")
        self.heard = bytearray()
        self.open = False
        self._next = 0

    def serve(self, seconds: float, enough: Callable[[], object]) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not enough():
            for packet in self.tap.packets(0.05):
                facts = read(packet)
                if facts and facts.destination == (GHOST_OUT, 21):
                    self._take(facts)

    def _take(self, facts: Facts) -> None:
        source, flags, payload = facts.source, facts.flags, facts.payload
        seq = facts.seq
        if flags & RST:
            return
        if flags & SYN:
            self._next = seq + 1
            self._say(source, SYN | ACK, SERVER_START, mss(1460))
            return
        self.open = True
        skip = (self._next - seq) & 0xFFFFFFFF
        if skip < len(payload):
            fresh = payload[skip : skip + WINDOW]
            self.heard += fresh
            self._next = (self._next + len(fresh)) & 0xFFFFFFFF
        if payload or flags & FIN:
            self._say(source, ACK, SERVER_START + 1)

    def _say(self, to: tuple[str, int], flags: int, seq: int, options: bytes = b"") -> None:
        made = tcp((GHOST_OUT, 21), to, flags, seq, self._next, options=options, window=WINDOW)
        self.network.outside.send(made)
