"""Segments that come too early, on control connections whose handshake was never completed.

Each connection offers 180 segments of 1,440 bytes behind a gap. A connection that nobody has answered must
cost about as much memory as one that sends a SYN and no more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.hostile import packets
from tests.hostile.network import GHOST_IN, GHOST_OUT, Network
from tests.hostile.packets import ACK, PSH, SYN
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 3"
FLOWS, SEGMENTS, SIZE = 120, 180, 1440
PER_SECOND = 6000
"""Packets; below what the fast path lets an inside host send to the engine."""
MOST = 16_384
"""Bytes of a flow beyond what its SYN costs: three or four allocator pages."""


def attack(network: Network) -> Verdict:
    before = _growth(network, range(30000, 30000 + FLOWS), 0)
    control(len(_flows(network)) >= FLOWS, "the SYNs opened no flows")
    after = _growth(network, range(40000, 40000 + FLOWS), SEGMENTS)
    each = (after - before) // FLOWS
    trouble = network.trouble()
    said = f"{each:,} bytes for each half-open connection beyond its SYN"
    return held_if(each <= MOST and not trouble, f"{said}; {trouble}" if trouble else said)


def _growth(network: Network, ports: range, segments: int) -> int:
    """Bytes by which the gateway grew."""
    before = network.gateway.memory()
    network.inside.pour(_packets(ports, segments), PER_SECOND)
    time.sleep(1)
    return network.gateway.memory() - before


def _packets(ports: range, segments: int) -> Iterator[bytes]:
    payload = b"x" * SIZE
    for port in ports:
        ends = (GHOST_IN, port), (GHOST_OUT, 21)
        yield packets.tcp(*ends, SYN, 1000)
        for number in range(1, segments + 1):
            yield packets.tcp(*ends, ACK | PSH, 1001 + number * SIZE, 1, payload)


def _flows(network: Network) -> list[dict[str, object]]:
    return network.gateway.rows("flows", host=GHOST_IN)
