"""Fragments that are each short enough, but make a datagram longer than 65,535 bytes.

The first one has an IP header of 60 bytes, the last one ends at 65,515: right for a header of 20. Afterwards
the gateway must forward as before. Sent from outside, to the public port of a living flow.
"""

from __future__ import annotations

from tests.hostile import packets
from tests.hostile.network import PUBLIC, STRANGER, Network
from tests.hostile.packets import LONGEST_OPTIONS, UDP
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 1; A-32"
ROWS = ("A-32",)
LENGTH = 65_515
"""Payload bytes that fit behind a header of 20, not behind one of 60."""


def attack(network: Network) -> Verdict:
    with network.datagrams() as flow:
        datagram = packets.udp_datagram((STRANGER, 7), (PUBLIC, flow.public[1]), bytes(LENGTH - 8))
        for identification in (1, 2):
            network.outside.send(
                *packets.pieces(
                    STRANGER,
                    PUBLIC,
                    UDP,
                    datagram,
                    identification,
                    first_options=LONGEST_OPTIONS,
                )
            )
    trouble = network.trouble()
    return held_if(not trouble, trouble or "ping, UDP and TCP pass as before")
