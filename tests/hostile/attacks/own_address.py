"""An inside host writes the gateway's own addresses into its packets.

The host's firewall accepts what is forwarded from inside to outside and nothing else, as docs/firewalls.md
advises. None of the packets may leave, and the way past the firewall must stay as it is: a single packet that
left as it came was taken for one that the firewall had translated, and from then on all packets took another way.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.network import INSIDE_GATEWAY, PUBLIC, SERVER, Network
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-35"
ROWS = ("A-35",)
PLANES = ("ebpf-tc", "ebpf-xdp")
MARK = b"in another's name"
FIREWALL = """
table inet attacked {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "inside" oifname "outside" accept
    }
}
"""


def attack(network: Network) -> Verdict:
    with network.firewall(FIREWALL):
        control(not network.trouble(), "nothing passes this firewall even without an attack")
        tap = network.tap("net", "transit")
        for address in (PUBLIC, INSIDE_GATEWAY, "10.0.0.255", SERVER):
            for number in range(3):
                forged = (address, 7000 + number), (SERVER, 5000)
                network.inside.send(packets.udp(*forged, MARK))
        time.sleep(0.5)
        left = [packet for packet in tap.packets() if MARK in packet]
        trouble = network.trouble()
    said = f"{len(left)} forged packets left"
    return held_if(not left and not trouble, f"{said}; {trouble or 'others go on'}")
