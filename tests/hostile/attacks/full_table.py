"""One host opens more flows than the table has room for; others' flows go on, and they can open new ones.

`flows = 2000`, `flows_per_host = 500`. No live flow may be closed to make room.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile import packets
from tests.hostile.network import ATTACKER, SERVER, Network, converse, failure
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-21"
ROWS = ("A-21",)
SETTINGS = {"limits": {"flows": 2000, "flows_per_host": 500}}
COUNT = 3000


def attack(network: Network) -> Verdict:
    with network.connection(5001) as (near, far), network.datagrams() as flow:
        converse(near, far)
        network.inside.pour(_flows(), 2500)
        held = len(network.gateway.rows("flows", host=ATTACKER))
        control(held > 100, f"the attacker opened {held} flows only")
        trouble = failure(converse, near, far) or ("" if flow.ask() else "a UDP flow is gone")
    trouble = trouble or network.trouble()
    said = f"the attacker holds {held} flows; {trouble or 'others go on and open new ones'}"
    return held_if(held <= 500 and not trouble, said)


def _flows() -> Iterator[bytes]:
    for number in range(COUNT):
        source = (ATTACKER, 1024 + number // 10)
        yield packets.udp(source, (SERVER, 1000 + number % 10), b"x")
