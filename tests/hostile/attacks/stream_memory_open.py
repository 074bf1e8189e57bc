"""Segments that come too early, on control connections that both ends have opened; both belong to the attacker.

240 connections offer 180 segments of 1,440 bytes each behind a gap, 62 MB in all. What is kept for one inside
host must stay within its budget (`stream_memory_per_host`, here 16 MB), and others are served.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.hostile import packets
from tests.hostile.ghost import CLIENT_START, SERVER_START, Ghost
from tests.hostile.network import GHOST_OUT, Network
from tests.hostile.packets import ACK, PSH
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 3"
FLOWS, SEGMENTS, SIZE = 240, 180, 1440
PER_SECOND = 6000
BUDGET = 16 << 20
MOST = BUDGET + (8 << 20)
"""Bytes: the budget, and half of it for what Python keeps around it and for the flows themselves."""
SETTINGS = {"limits": {"stream_memory_per_host": BUDGET}}


def attack(network: Network) -> Verdict:
    ports = []
    for _ in range(FLOWS):
        ghost = Ghost(network)
        ghost.open()
        ghost.close()
        ports.append(ghost.near)
    before = network.gateway.memory()
    network.inside.pour(_early(ports), PER_SECOND)
    time.sleep(1)
    grown = network.gateway.memory() - before
    trouble = network.trouble()
    said = f"{grown / (1 << 20):.1f} MB kept for {FLOWS * SEGMENTS * SIZE / (1 << 20):.0f} MB"
    return held_if(grown <= MOST and not trouble, f"{said}; {trouble}" if trouble else said)


def _early(ports: list[tuple[str, int]]) -> Iterator[bytes]:
    payload = b"x" * SIZE
    for near in ports:
        for number in range(1, SEGMENTS + 1):
            seq = CLIENT_START + 1 + number * SIZE
            ack = SERVER_START + 1
            yield packets.tcp(near, (GHOST_OUT, 21), ACK | PSH, seq, ack, payload)
