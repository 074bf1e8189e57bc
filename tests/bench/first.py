"""Waits for the first packet through a gateway: `python -m tests.bench.first ADDRESS PORT`.

Prints `ready`, sends a datagram every two milliseconds until one comes back, then prints the time
(CLOCK_MONOTONIC, which all processes of a machine share) when it did. Ends after a minute in any case.
"""

from __future__ import annotations

import socket
import sys
import time

PAUSE = 0.002
LONGEST = 60.0


def main(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PAUSE)
        print("ready", flush=True)
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            client.sendto(b"?", (address, port))
            try:
                client.recv(16)
            except (TimeoutError, OSError):
                continue
            print(time.monotonic(), flush=True)
            return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
