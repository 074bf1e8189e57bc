"""Round trips, timed where the client is: `python -m tests.bench.ask {udp|ftp} ADDRESS PORT... COUNT`.

Prints JSON: a list of seconds for each port.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

from tests.bench.echo import datagram_socket

CounterSource = Callable[[int], object]


def udp(address: str, port: int, count: int) -> list[list[float]]:
    with datagram_socket(port) as client:
        client.settimeout(5)
        client.connect((address, port))

        def ask(_: int) -> None:
            client.send(b"x" * 64)
            client.recv(2048)

        return [_timed([ask], count)[0]]


def ftp(address: str, *arguments: int) -> list[list[float]]:
    """The ports in turn, so that all meet the same conditions; every fourth line is a PORT."""
    *ports, count = arguments
    with ExitStack() as stack:
        return _timed([_ftp_client(stack, address, port) for port in ports], count)


def _ftp_client(stack: ExitStack, address: str, port: int) -> CounterSource:
    client = stack.enter_context(socket.create_connection((address, port), 5))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.recv(2048)
    here = client.getsockname()[0].replace(".", ",")

    def ask(number: int) -> None:
        line = f"PORT {here},{8 + number % 200},{number % 256}" if number % 4 == 0 else "NOOP"
        client.sendall(line.encode() + b"\r\n")
        if not client.recv(2048).startswith(b"200 "):
            raise RuntimeError("no answer")

    return ask


def _timed(asks: list[CounterSource], count: int) -> list[list[float]]:
    taken: list[list[float]] = [[] for _ in asks]
    for number in range(-50, count):  # the first ones are practice
        for ask, mine in zip(asks, taken, strict=True):
            started = time.perf_counter()
            ask(number)
            if number >= 0:
                mine.append(time.perf_counter() - started)
    return taken


CLIENTS: dict[str, Callable[..., list[list[float]]]] = {"udp": udp, "ftp": ftp}

if __name__ == "__main__":
    print(json.dumps(CLIENTS[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))))
