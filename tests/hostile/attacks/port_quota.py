"""A host that announces a port and then sends from it must not hold more public ports than it may.

`ports_per_host = 8`; forty times `PORT p`, then a connection from source port p.
"""

from __future__ import annotations

from contextlib import ExitStack

from tests.hostile.ftp import line
from tests.hostile.network import CLIENT, SERVER, Network, failure
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 7; A-21"
ROWS = ("A-21",)
QUOTA, WAITING, TRIES = 8, 4, 40
SETTINGS = {"limits": {"ports_per_host": QUOTA}}


def attack(network: Network) -> Verdict:
    with ExitStack() as ends:
        near, far = ends.enter_context(network.connection(21))
        ends.enter_context(network.listen(SERVER, 5001))
        for number in range(TRIES):
            near.sendall(
                f"PORT 10,0,0,2,{divmod(30000 + number, 256)[0]},{(30000 + number) % 256}\r\n".encode()
            )
            control(not failure(line, far), "PORT does not arrive")
            flow = ends.enter_context(network.tcp(CLIENT, 30000 + number))
            flow.settimeout(0.1)
            failure(flow.connect, (SERVER, 5001))
        held = len(network.gateway.rows("mappings", host=CLIENT))
    control(held >= QUOTA, f"only {held} ports were held")
    most = QUOTA + WAITING
    return held_if(
        held <= most, f"{held} public ports held; the quota is {QUOTA} and {WAITING} expected"
    )
