"""Fragments that make a datagram longer than 65,535 bytes, sent by an inside host.

See fragments_from_outside.
"""

from __future__ import annotations

from tests.hostile import packets
from tests.hostile.attacks.fragments_from_outside import LENGTH
from tests.hostile.network import ATTACKER, SERVER, Network
from tests.hostile.packets import LONGEST_OPTIONS, UDP
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 1; A-32"
ROWS = ("A-32",)


def attack(network: Network) -> Verdict:
    datagram = packets.udp_datagram((ATTACKER, 7), (SERVER, 7), bytes(LENGTH - 8))
    for identification in (1, 2):
        made = packets.pieces(
            ATTACKER, SERVER, UDP, datagram, identification, first_options=LONGEST_OPTIONS
        )
        network.inside.send(*made)
    trouble = network.trouble()
    return held_if(not trouble, trouble or "ping, UDP and TCP pass as before")
