"""An ACK with any number, then a FIN with the same number, on an idle connection that the fast path forwards.

The flow must stay `established`, and go on where it went before: by the fast path where there is one.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.network import CLIENT, SERVER, Network, converse, eventually, failure
from tests.hostile.packets import ACK, FIN
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 4; A-28"
ROWS = ("A-28",)
PORT = 5001


def attack(network: Network) -> Verdict:
    fast = network.plane != "tun"
    with network.connection(PORT) as (near, far):
        remote, inside = (SERVER, PORT), near.getsockname()

        def goes_fast() -> bool:
            time.sleep(1.5)  # packets that were counted before are reported by then
            before = network.gateway.by_fast_path()
            for _ in range(5):
                converse(near, far)
            return eventually(lambda: network.gateway.by_fast_path() - before >= 10, 2.5)

        converse(near, far)
        control(not fast or goes_fast(), "the connection does not go by the fast path")
        for number in (12345, 0x80000000, 0xF0000000):
            for flags in (ACK, FIN | ACK, FIN):
                made = packets.tcp(remote, far.getpeername(), flags, number, number)
                network.outside.send(made)
                network.inside.send(packets.tcp((CLIENT, inside[1]), remote, flags, number, number))
        time.sleep(0.3)
        flow = network.gateway.flow(inside, remote)
        state = flow["state"] if flow else "forgotten"
        still = goes_fast() if fast else not failure(converse, near, far)
    way = "goes on" if still else "does not go on"
    way += " by the fast path" if fast else ""
    return held_if(state == "ESTABLISHED" and still, f"the flow is {state} and {way}")
