"""A SYN with any number, sent in the name of either end before the server has said its banner.

The connection must go on: the banner arrives, and a PORT command is rewritten and answered. The attacker knows
addresses and ports, but no sequence number (RFC 5961, 4).
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.ftp import session
from tests.hostile.network import CLIENT, PUBLIC, SERVER, Network, failure
from tests.hostile.packets import SYN
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 4; A-28"
ROWS = ("A-28",)


def attack(network: Network) -> Verdict:
    said = []
    for side in ("outside", "inside"):
        with network.connection(21) as (near, far):
            time.sleep(0.2)
            public = far.getpeername()
            for number in range(0, 1 << 32, 1 << 28):
                if side == "outside":
                    network.outside.send(packets.tcp((SERVER, 21), public, SYN, number))
                else:
                    source = (CLIENT, near.getsockname()[1])
                    network.inside.send(packets.tcp(source, (SERVER, 21), SYN, number))
            time.sleep(0.3)
            trouble = failure(session, near, far, PUBLIC)
            if trouble:
                said.append(f"after SYNs from {side}: {trouble}")
    return held_if(not said, "; ".join(said) or "banner and PORT pass after SYNs from both sides")
