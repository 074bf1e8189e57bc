"""Sources that cannot be on the side where they come in: inside ones outside, the gateway's own, loopback, ...

Nothing of it may arrive anywhere, and no flow may be opened. The same packets with right sources are the control.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.network import (
    ATTACKER,
    CLIENT,
    PUBLIC,
    SERVER,
    STRANGER,
    Network,
)
from tests.hostile.packets import ACK, SYN
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-35"
ROWS = ("A-35",)
NOBODY = ("127.0.0.1", "0.1.2.3", "240.0.0.1", "224.0.0.5", "255.255.255.255")
FROM_OUTSIDE = (CLIENT, "10.0.0.1", PUBLIC, *NOBODY)
FROM_INSIDE = (PUBLIC, SERVER, "203.0.113.254", *NOBODY)
MARK = b"a forged datagram"


def attack(network: Network) -> Verdict:
    seen = {"inside": network.tap("in1", "eth0"), "outside": network.tap("net", "transit")}
    with network.datagrams() as flow:
        public = (PUBLIC, flow.public[1])
        network.outside.send(packets.udp((SERVER, flow.port), public, MARK + b" not"))
        network.inside.send(packets.udp((ATTACKER, 9), (STRANGER, 9), MARK + b" not"))
        for name, tap in seen.items():
            good = tap.first(lambda facts: facts.payload == MARK + b" not")
            control(good, f"a right packet does not arrive {name}")
        before = len(network.gateway.rows("flows"))
        for source in FROM_OUTSIDE:
            for to in (public, (CLIENT, flow.source)):
                network.outside.send(packets.udp((source, flow.port), to, MARK))
                network.outside.send(packets.tcp((source, 5), to, SYN, 1, payload=MARK))
        for source in FROM_INSIDE:
            network.inside.send(packets.udp((source, 9), (STRANGER, 9), MARK))
            network.inside.send(packets.tcp((source, 9), (STRANGER, 9), SYN, 1, payload=MARK))
            network.inside.send(packets.tcp((source, 9), (STRANGER, 9), ACK, 1, payload=MARK))
        time.sleep(0.5)
        opened = len(network.gateway.rows("flows")) - before
        arrived = [
            f"{facts.source[0]} {name}"
            for name, tap in seen.items()
            for facts in tap.facts()
            if facts.payload == MARK
        ]
    said = (
        f"{len(arrived)} forged packets arrived {sorted(set(arrived)) or ''}, {opened} flows opened"
    )
    return held_if(not arrived and opened <= 0, said)
