"""Short TCP connections: a few bytes to an echo server and back.

`python -m tests.soak.short SEED ADDRESS PORT PAUSE`
"""

from __future__ import annotations

import socket
import sys

from tests.soak.worker import PATIENCE, Worker

MOST = 5_000
"""Bytes in one connection."""


def main(seed: str, address: str, port: str, pause: str) -> None:
    worker = Worker(int(seed))

    def one() -> None:
        said = worker.chance.randbytes(worker.chance.randrange(MOST))
        with socket.create_connection((address, int(port)), PATIENCE) as link:
            link.sendall(said)
            link.shutdown(socket.SHUT_WR)
            heard = b""
            while part := link.recv(1 << 16):
                heard += part
        if heard == said:
            worker.tally.complete(len(said))
        else:
            worker.tally.complain(f"{len(heard)} bytes came back, {len(said)} were sent")

    worker.run(one, float(pause))


if __name__ == "__main__":
    main(*sys.argv[1:])
