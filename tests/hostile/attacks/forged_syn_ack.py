"""A SYN+ACK that acknowledges something else than the SYN, in the name of a server that has not answered.

The flow must not count as established: nobody but the server knows the number that must be acknowledged.
"""

from __future__ import annotations

import time

from tests.hostile.ghost import Ghost
from tests.hostile.network import Network
from tests.hostile.packets import ACK, SYN
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 4; A-28"
ROWS = ("A-28",)


def attack(network: Network) -> Verdict:
    states = []
    for port in (21, 443):
        ghost = Ghost(network, port)
        ghost.begin()
        before = network.gateway.flow(ghost.near, ghost.far)
        control(
            before and before["state"] == "SYN_SENT", "the SYN opened no flow in state SYN_SENT"
        )
        for wrong in (1, 77_777, 0x80000000):
            ghost.reply(wrong, flags=SYN | ACK, heard=wrong)
        time.sleep(0.3)
        after = network.gateway.flow(ghost.near, ghost.far)
        states.append(f"port {port}: {after['state'] if after else 'forgotten'}")
    return held_if(all(state.endswith("SYN_SENT") for state in states), ", ".join(states))
