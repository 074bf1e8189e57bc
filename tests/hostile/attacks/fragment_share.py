"""One stranger begins 300 fragmented datagrams and never ends them; others' must still pass.

From outside, then from inside, beside a living flow whose datagrams need fragments too.
"""

from __future__ import annotations

from tests.hostile import packets
from tests.hostile.network import ATTACKER, PUBLIC, SERVER, STRANGER, Network
from tests.hostile.packets import MF, UDP
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 12; A-32"
ROWS = ("A-32", "4787-14a")
COUNT, SIZE = 300, 4000


def attack(network: Network) -> Verdict:
    with network.datagrams() as flow:
        control(flow.ask(SIZE), "a fragmented datagram does not pass even without the attack")
        lost = []
        for name, wire, source, destination in (
            ("outside", network.outside, STRANGER, PUBLIC),
            ("inside", network.inside, ATTACKER, SERVER),
        ):
            for number in range(COUNT):
                datagram = packets.udp_datagram((source, 7), (destination, 7), bytes(1400))
                wire.send(
                    packets.ip(
                        source, destination, UDP, datagram, identification=number + 1, fragment=MF
                    )
                )
            if not (flow.ask(SIZE) or flow.ask(SIZE)):
                lost.append(f"after {COUNT} from {name}, no fragmented datagram of others passes")
    return held_if(not lost, "; ".join(lost) or "fragmented datagrams of others pass")
