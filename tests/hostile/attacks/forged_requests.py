"""TFTP requests to a published server, each from another forged source, while a neighbour uses FTP.

What helpers do for them must not be at the expense of others: each PORT of the neighbour is rewritten.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.hostile import packets
from tests.hostile.ftp import port
from tests.hostile.network import ATTACKER, CLIENT, PUBLIC, Network, failure, meanwhile
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-16; A-29"
ROWS = ("A-16", "A-21", "A-29")
SETTINGS = {
    "limits": {"lines": 2000, "lines_per_host": 500},
    "helper.ftp": {},
    "helper.tftp": {},
}
REQUEST = b"\0\1boot.img\0octet\0"
COUNT, RATE, EVERY = 4000, 1000, 0.1


def attack(network: Network) -> Verdict:
    network.gateway.ask("forward_add", name="tftp", protocol="udp", ports="69", inside=ATTACKER)
    trouble, passed = "", 0
    with network.udp(ATTACKER, 69) as server, network.connection(21, client=CLIENT) as (near, far):
        port(near, far, PUBLIC)
        with meanwhile(network.outside.pour, _requests(), RATE) as flood:
            control(not failure(server.recv, 100), "no request arrives")
            while flood.is_alive() and not trouble:
                trouble = failure(port, near, far, PUBLIC)
                passed += not trouble
                time.sleep(EVERY)
    return held_if(not trouble, trouble or f"{passed} PORT commands were rewritten")


def _requests() -> Iterator[bytes]:
    for number in range(COUNT):
        source = f"192.0.{number >> 8}.{number & 255}"
        yield packets.udp((source, 4000), (PUBLIC, 69), REQUEST)
