"""A segment of one byte, repeated, makes the gateway repeat all that was never acknowledged.

The client says `PO`, which may become an announcement and is withheld, then 60 kB; the server acknowledges
nothing; then the client repeats the last byte a thousand times. No more than twice of what comes in may go
out, and a neighbour's pings pass meanwhile.
"""

from __future__ import annotations

import time

from tests.hostile.ghost import Ghost
from tests.hostile.network import Network, meanwhile
from tests.hostile.packets import ACK, PSH, mss
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 2"
ALONE = True
SIZE, SEGMENTS, TIMES = 1440, 42, 1000
ALLOWANCE = 100_000
"""Bytes: one repetition of everything, the pings, and the neighbours' ARP."""


def attack(network: Network) -> Verdict:
    quiet = network.ping(50)
    ghost = Ghost(network)
    ghost.open(options=mss(1460))
    ghost.say(0, b"PO", ACK | PSH)
    for number in range(SEGMENTS):
        ghost.say(2 + number * SIZE, b"x" * SIZE, ACK | PSH)
    end = 2 + SEGMENTS * SIZE
    arrived = ghost.outside.first(lambda f: ghost.is_ours(f) and f.payload, 3)
    control(arrived, "the client's bytes did not arrive once")
    time.sleep(1)
    into, out = network.inside.bytes, network.received("net", "transit")

    def repeat() -> None:
        for _ in range(TIMES // 10):
            for _ in range(10):
                ghost.say(end - 1, b"x", ACK | PSH)
            time.sleep(0.02)

    with meanwhile(repeat):
        busy = network.ping(80)
    time.sleep(1)
    into, out = network.inside.bytes - into, network.received("net", "transit") - out
    said = f"{into} bytes in, {out} bytes out; {busy} (before: {quiet.lost} lost)"
    return held_if(out <= 2 * into + ALLOWANCE and busy.lost <= quiet.lost + 2, said)
