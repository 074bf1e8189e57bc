"""4,095 commands in 24 kB, again and again: the work for a line must not grow with the lines before it.

A client of an inside host sends `RETR` 4,095 times, twice a second, each time on a new connection. The pings of a
neighbour must take about as long as without.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.hostile.network import ATTACKER, SERVER, Network, Pings, failure, meanwhile
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 10"
ALONE = True
TIMES, EVERY = 8, 0.5
SLOWER = 8
"""How many times as long a neighbour's ping may take, by the median."""


def attack(network: Network) -> Verdict:
    return compare(network, b"RETR\r\n" * 4095)


def compare(network: Network, burst: bytes) -> Verdict:
    """Pings without and with such a burst on a new control connection every half a second."""
    quiet = network.ping(100)
    with meanwhile(_send, network, burst):
        time.sleep(EVERY)
        busy = network.ping(100, (TIMES - 1) * EVERY / 100)
    said = f"{busy} (before: {quiet.median:.2f} ms)"
    return held_if(not is_hurt(quiet, busy), said)


def is_hurt(quiet: Pings, busy: Pings) -> bool:
    return busy.lost > quiet.lost + 2 or busy.median > SLOWER * quiet.median


def _send(network: Network, burst: bytes) -> None:
    with ExitStack() as ends:
        listener = ends.enter_context(network.listen(SERVER, 21))
        for _ in range(TIMES):
            started = time.monotonic()
            near = ends.enter_context(network.tcp(ATTACKER))
            if not failure(near.connect, (SERVER, 21)):
                ends.enter_context(listener.accept()[0])
                near.settimeout(EVERY)  # what the gateway has not taken by then stays unsent
                failure(near.sendall, burst)
            time.sleep(max(0.0, started + EVERY - time.monotonic()))
