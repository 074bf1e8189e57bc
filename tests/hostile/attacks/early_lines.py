"""A server says 65,000 short lines behind a gap on each of many control connections, and then fills the gaps.

Ten segments of one byte each must not have more lines looked at than a host may have looked at: a neighbour's
pings take about as long as without.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.ghost import CLIENT_START, SERVER_START, Ghost
from tests.hostile.network import Network, meanwhile
from tests.hostile.packets import ACK, PSH
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-16, A-21"
ALONE = True
ROWS = ("A-16", "A-21")
CONNECTIONS, SEGMENTS, PER_SECOND = 10, 510, 1000
LINES = b"200\n" * 128
SCALED = packets.mss(1460) + b"\x03\x03\x07\x01"
SLOWER = 20
"""How many times as long as the median without an attack nine in ten pings may take at most."""


def attack(network: Network) -> Verdict:
    ghosts = [_begin(network) for _ in range(CONNECTIONS)]
    for ghost in ghosts:
        early = (_said(ghost, 1 + n * len(LINES), LINES) for n in range(SEGMENTS))
        network.outside.pour(early, PER_SECOND)
    quiet = network.ping()
    control(not quiet.lost, "pings are lost without an attack")
    with meanwhile(_fill, network, ghosts):
        busy = network.ping(100)
    for ghost in ghosts:
        ghost.close()
    said = f"{busy}, nine in ten within {busy.most:.1f} ms (before: {quiet.median:.2f} ms)"
    return held_if(not busy.lost and busy.most <= SLOWER * quiet.median, said)


def _begin(network: Network) -> Ghost:
    ghost = Ghost(network)
    ghost.open(options=SCALED, window=60000)
    ghost.say(0, window=60000)
    return ghost


def _said(ghost: Ghost, at: int, text: bytes) -> bytes:
    numbers = SERVER_START + 1 + at, CLIENT_START + 1
    return packets.tcp(ghost.far, ghost.public, ACK | PSH, *numbers, text)


def _fill(network: Network, ghosts: list[Ghost]) -> None:
    time.sleep(0.5)
    network.outside.send(*[_said(ghost, 0, b"2") for ghost in ghosts])
