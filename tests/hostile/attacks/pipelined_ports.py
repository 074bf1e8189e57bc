"""4,000 PORT commands in one burst, twice a second, each with another port.

A neighbour's pings must take about as long as without; no more is expected than a connection may have waiting.
"""

from __future__ import annotations

from tests.hostile.attacks.many_commands import compare
from tests.hostile.network import Network
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 10; A-12"
ALONE = True
ROWS = ("A-12",)
COUNT, MOST = 4000, 4 * 8


def attack(network: Network) -> Verdict:
    ports = (divmod(20000 + number, 256) for number in range(COUNT))
    burst = b"".join(b"PORT 10,0,0,3,%d,%d\r\n" % port for port in ports)
    verdict = compare(network, burst)
    expected = len(network.gateway.rows("expectations"))
    return held_if(verdict.held and expected <= MOST, f"{verdict.sentence}; {expected} expected")
