"""A guest on another inside network sends to the public port of a client's living UDP flow.

Nobody has published that port, so the guest is a stranger to it, whose own network the operator keeps apart.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.network import ATTACKER, Network
from tests.hostile.network import GUEST as GUEST_HOST
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-22, 4787-8"
ROWS = ("A-22",)
GUEST = True
SETTINGS = {"gateway": {"inside": ["10.0.0.0/24", "10.1.0.0/24"]}}


def attack(network: Network) -> Verdict:
    assert network.guest
    with network.datagrams() as flow:
        network.inside.send(packets.udp((ATTACKER, 7000), flow.public, b"neighbour"))
        for port in range(7000, 7020):
            network.guest.send(packets.udp((GUEST_HOST, port), flow.public, b"guest"))
        time.sleep(0.5)
        flow.near.setblocking(False)
        heard = []
        while True:
            try:
                heard.append(flow.near.recv(100))
            except BlockingIOError:
                break
    control(b"neighbour" in heard, "not even a host of the client's own network is let in")
    reached = heard.count(b"guest")
    return held_if(not reached, f"{reached} of 20 datagrams reached the client")
