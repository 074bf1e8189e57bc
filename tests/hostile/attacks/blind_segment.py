"""Segments with a wrong timestamp and a window of 0, spread over the whole sequence space, in the server's name.

The gateway speaks for the server when it acknowledges the beginning of a command. If it then repeats what
it has learned from the attacker, the client takes the real server's segments for old ones (PAWS, RFC 7323, 5).
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.ftp import line, session
from tests.hostile.network import PUBLIC, SERVER, Network, converse, failure
from tests.hostile.packets import ACK, timestamps
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 4; A-28"
ROWS = ("A-28",)
APART = 1 << 25


def attack(network: Network) -> Verdict:
    with network.connection(21) as (near, far):
        session(near, far, PUBLIC)
        for stamp in (0x7FFFFFFF, 0xFFFFFFFF, 0x3FFFFFFF):
            for number in range(0, 1 << 32, APART):
                made = packets.tcp(
                    (SERVER, 21),
                    far.getpeername(),
                    ACK,
                    number,
                    number,
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
