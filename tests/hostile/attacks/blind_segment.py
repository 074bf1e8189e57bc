"""Segments with a wrong timestamp and a window of 0, in the server's name, spread over all that both numbers can be.

The gateway speaks for the server when it acknowledges the beginning of a command. If it then repeats what
it has learned from the attacker, the client takes the real server's segments for old ones (PAWS, RFC 7323, 5).
If the gateway believed numbers within the largest window that could be offered (64 MiB with the scale of 10 that Linux
uses for large buffers), one of these segments would be, and would move what the next ones are measured by.
"""

from __future__ import annotations

import time
from itertools import product

from tests.hostile import packets
from tests.hostile.ftp import line, session
from tests.hostile.network import PUBLIC, SERVER, Network, converse, failure
from tests.hostile.packets import ACK, timestamps
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 4; A-28"
ROWS = ("A-28",)
APART = 1 << 26
"""No number is farther from one of these than half the largest window with a scale of 10."""


def attack(network: Network) -> Verdict:
    with network.connection(21) as (near, far):
        session(near, far, PUBLIC)
        for stamp in (0x7FFFFFFF, 0xFFFFFFFF, 0x3FFFFFFF):
            for sequence, acknowledgment in product(range(0, 1 << 32, APART), repeat=2):
                made = packets.tcp(
                    (SERVER, 21),
                    far.getpeername(),
                    ACK,
                    sequence,
                    acknowledgment,
                    options=timestamps(stamp, stamp),
                    window=0,
                )
                network.outside.send(made)
        time.sleep(0.3)
        near.sendall(b"PO")
        time.sleep(0.5)
        near.sendall(b"RT 10,0,0,2,200,11\r\n")
        trouble = failure(line, far)
        trouble = trouble or failure(converse, near, far)
    return held_if(not trouble, trouble or "a split PORT and its answer pass")
