"""A guest on another inside network writes a client's address into its packets, for a flow that lives.

The gateway's host checks reverse paths (`rp_filter = 1`), so nothing of this may arrive, by no plane. The same
packet sent from the client's own network arrives: that is the control.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.network import CLIENT, SERVER, Network
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 9; A-35"
ROWS = ("A-35",)
GUEST = True
SETTINGS = {"gateway": {"inside": ["10.0.0.0/24", "10.1.0.0/24"]}}


def attack(network: Network) -> Verdict:
    assert network.guest
    with network.datagrams() as flow:
        time.sleep(0.5)
        ends = (CLIENT, flow.source), (SERVER, flow.port)
        network.inside.send(packets.udp(*ends, b"own network"))
        for number in range(20):
            network.guest.send(packets.udp(*ends, b"forged", identification=number))
        time.sleep(0.5)
        flow.far.setblocking(False)
        heard = []
        while True:
            try:
                heard.append(flow.far.recv(100))
            except BlockingIOError:
                break
    control(b"own network" in heard, "not even the packet from the right network arrives")
    forged = heard.count(b"forged")
    return held_if(not forged, f"{forged} of 20 forged datagrams arrived")
