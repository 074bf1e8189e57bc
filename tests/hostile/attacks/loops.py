"""Packets from the public address to itself (land), from outside and from inside, and hairpins to one's own port.

Each may be answered or forwarded a few times; none may circulate.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.network import ATTACKER, PUBLIC, Network
from tests.hostile.packets import SYN
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "A-36"
ROWS = ("A-36",)
TIMES = 100
MOST = 4
"""Packets out for each packet in."""


def attack(network: Network) -> Verdict:
    with network.datagrams() as flow:
        public = (PUBLIC, flow.public[1])
        before = _packets(network)
        for number in range(TIMES):
            for wire in (network.outside, network.inside):
                wire.send(packets.udp(public, public, b"land", identification=number + 1))
                wire.send(packets.tcp(public, public, SYN, number))
            network.inside.send(packets.udp((ATTACKER, 7000), public, b"hairpin"))
            network.inside.send(packets.udp((ATTACKER, 7000), (PUBLIC, 7000), b"hairpin"))
        time.sleep(1)
        out = _packets(network) - before
        time.sleep(1)
        later = _packets(network) - before - out
    trouble = network.trouble()
    sent = TIMES * 6
    said = f"{sent} packets in, {out} out, {later} a second later"
    good = out <= MOST * sent and later <= sent // 10 and not trouble
    return held_if(good, f"{said}; {trouble}" if trouble else said)


def _packets(network: Network) -> int:
    """Packets that the gateway's interfaces have sent."""
    return sum(network.sent("gw1", name) for name in ("inside", "outside"))
