"""A PORT that names another host, which is refused and reported, ten thousand times.

What is written to the log must be bounded: it must not grow with the number of attempts.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from tests.hostile.network import ATTACKER, Network, failure
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 10; A-01"
ROWS = ("A-01",)
LINE = b"PORT 198,51,100,9,200,10\r\n"
COUNT, SECONDS = 10_000, 4.0
MOST = 20_000
"""Bytes of log; a line is about 150."""


def attack(network: Network) -> Verdict:
    gateway = network.gateway
    with network.connection(21, client=ATTACKER) as (near, far):
        reader = threading.Thread(target=_drain, args=(near,), daemon=True)
        reader.start()
        before = gateway.log.stat().st_size
        until, sent = time.monotonic() + SECONDS, 0
        while sent < COUNT and time.monotonic() < until:
            if failure(near.sendall, LINE * 100):
                break
            sent += 100
            heard = 0
            with suppress(OSError):
                while heard < 100 * len(LINE):
                    heard += len(far.recv(1 << 16)) or 1 << 30
                far.sendall(b"500 no\r\n" * 100)
        time.sleep(1)
        written = gateway.log.stat().st_size - before
        expected = len(gateway.rows("expectations"))
    control(sent, "nothing was sent")
    said = f"{sent:,} refused commands, {written:,} bytes of log, {expected} expected"
    return held_if(written <= MOST and not expected, said)


def _drain(end: object) -> None:
    """The server's answers, until the connection ends or is silent."""
    with suppress(OSError):
        while end.recv(1 << 16):  # type: ignore[attr-defined]
            pass
