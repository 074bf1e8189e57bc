"""A line of a megabyte without an end, then 2,000 bytes one by one, on a control connection.

Every byte must arrive, the gateway must keep no more than the beginning of a line, and others are served.
"""

from __future__ import annotations

import socket

from tests.hostile.network import Network, failure, meanwhile, receive
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "A-16"
ROWS = ("A-16",)
LONG, SLOW = 1 << 20, 2000
MOST = 8 << 20
"""Bytes by which the gateway may grow: buffers of a stream, and what its allocator rounds up."""


def attack(network: Network) -> Verdict:
    grown = -network.gateway.memory()
    lost = []
    for start in (b"CWD ", b"PORT 10,"):
        text = start + bytes(range(32, 127)) * (LONG // 95)
        with network.connection(21) as (near, far):
            heard = bytearray()
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with meanwhile(_say, near, text):
                total = len(text) + SLOW
                failure(lambda far=far, heard=heard, n=total: heard.extend(receive(far, n)))
            if heard != text + b"y" * SLOW:
                lost.append(f"{len(heard)} of {total} bytes after {start!r}")
    grown += network.gateway.memory()
    trouble = network.trouble()
    said = f"{', '.join(lost) or 'all bytes arrive'}, {grown // 1024:,} kB grown {trouble}".strip()
    return held_if(not lost and not trouble and grown <= MOST, said)


def _say(near: socket.socket, text: bytes) -> None:
    def say() -> None:
        near.sendall(text)
        for _ in range(SLOW):
            near.send(b"y")

    failure(say)
