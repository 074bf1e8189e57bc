"""A process on the gateway binds every port of the public range, and opens thousands of sockets besides.

It is any user's process. Others' pings must take about as long as without, and their new flows must find ports.
"""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack

from tests.hostile.network import Network
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-21, A-22"
ALONE = True
ROWS = ("A-21", "A-22")
LOW, HIGH = 61000, 65095
SETTINGS = {"gateway": {"ports": f"{LOW}-{HIGH}"}}
MOST, SPARE = 15_000, 500
"""Sockets: as many as this process may have, less those that it has already."""
PINGS, EVERY = 120, 0.05
"""For longer than two looks at the host's ports are apart."""
SLOWER = 50
"""How many times as long as the median without an attack nine in ten pings may take at most."""


def attack(network: Network) -> Verdict:
    quiet = network.ping()
    control(not quiet.lost, "pings are lost without an attack")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as ends:
            control(_hoard(network, ends, min(MOST, hard - SPARE)) > HIGH - LOW, "too few sockets")
            busy = network.ping(PINGS, EVERY)
            trouble = network.trouble()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    held = not busy.lost and busy.most <= SLOWER * quiet.median and not trouble
    said = f"{busy}, nine in ten within {busy.most:.1f} ms (before: {quiet.median:.2f} ms)"
    return held_if(held, f"{said}; {trouble or 'new flows find ports'}")


def _hoard(network: Network, ends: ExitStack, count: int) -> int:
    with network.at("gw1"):
        for number in range(count):
            kind = socket.SOCK_DGRAM if number % 4 else socket.SOCK_STREAM
            each = ends.enter_context(socket.socket(socket.AF_INET, kind))
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("0.0.0.0", LOW + number // 4 % (HIGH + 1 - LOW)))
            if kind is socket.SOCK_STREAM and number < 4 * (HIGH + 1 - LOW):
                each.listen()
    return count
