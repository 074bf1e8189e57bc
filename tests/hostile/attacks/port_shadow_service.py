"""Inside hosts use up all public ports, while a service of the gateway itself listens on one of them.

No flow may be given the service's port; strangers must go on to reach the service (CVE-2021-3773).
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.network import ATTACKER, PUBLIC, SERVER, Network
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-22"
ROWS = ("A-22",)
PORTS = range(61000, 61064)
SERVICE = 61005
SETTINGS = {"gateway": {"ports": "61000-61063"}, "limits": {"ports_per_host": 64}}


def attack(network: Network) -> Verdict:
    with network.udp(PUBLIC, SERVICE, host="gw1") as service, network.udp(SERVER, 53) as stranger:
        time.sleep(3)  # until the gateway has looked at its host's sockets
        for number in range(200):
            network.inside.send(packets.udp((ATTACKER, SERVICE + number), (SERVER, 53)))
        time.sleep(0.5)
        held = {row["public"]["port"] for row in network.gateway.rows("mappings")}
        control(len(held) > 40, f"only {len(held)} ports are in use")
        stranger.sendto(b"hello", (PUBLIC, SERVICE))
        try:
            reached = any(service.recv(100) == b"hello" for _ in range(300))
        except TimeoutError:
            reached = False
    good = reached and SERVICE not in held
    return held_if(
        good,
        f"{len(held)} ports in use, the service's {'among' if SERVICE in held else 'not among'} them; it is {'' if reached else 'not '}reached",
    )
