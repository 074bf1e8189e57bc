"""UDP to an echo server: what comes back must be what was sent; what does not come back was lost, as
datagrams may be. `python -m tests.soak.datagrams SEED ADDRESS PORT PAUSE`"""

from __future__ import annotations

import socket
import sys

from tests.soak.worker import Worker

LONGEST = 4_000
"""Bytes: the longer ones travel in fragments."""

EACH = 10
"""Datagrams of one socket."""

LOST = 1.0
"""Seconds after which a datagram counts as lost."""


def main(seed: str, address: str, port: str, pause: str) -> None:
    worker = Worker(int(seed))
    numbers = iter(range(1 << 62))

    def one() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.settimeout(LOST)
            own.connect((address, int(port)))
            sent: dict[bytes, bytes] = {}
            for number in numbers:
                said = number.to_bytes(8, "big") + worker.chance.randbytes(
                    worker.chance.randrange(LONGEST)
                )
                sent[said[:8]] = said
                own.send(said)
                _hear(own, sent, said[:8], worker)
                if len(sent) == EACH:
                    return

    worker.run(one, float(pause))


def _hear(own: socket.socket, sent: dict[bytes, bytes], wanted: bytes, worker: Worker) -> None:
    """Until the answer comes, or is lost; answers may come twice, and late."""
    try:
        while True:
            heard = own.recv(1 << 16)
            if sent.get(heard[:8]) != heard:
                worker.tally.complain(f"a datagram of {len(heard)} bytes is not one that was sent")
            elif heard[:8] == wanted:
                worker.tally.complete(len(heard))
                return
    except TimeoutError:
        worker.tally.failed["lost"] += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
