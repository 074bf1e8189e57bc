"""Both ends of a control connection announce segments of 65,535 bytes, and a run longer than an IP packet follows.

Segments come without the first one; when that fills the gap, the gateway has a run of 72,000 bytes to send.
Such a connection may suffer, nobody else.
"""

from __future__ import annotations

from tests.hostile.ghost import Ghost
from tests.hostile.network import Network
from tests.hostile.packets import ACK, PSH, mss
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 1"
SIZE = 1440
SEGMENTS = 50


def attack(network: Network) -> Verdict:
    ghost = Ghost(network)
    ghost.open(options=mss(65535))
    for number in [*range(1, SEGMENTS), 0]:
        ghost.say(number * SIZE, b"x" * SIZE, ACK | PSH)
    trouble = network.trouble()
    return held_if(not trouble, trouble or "ping, UDP and TCP pass as before")
