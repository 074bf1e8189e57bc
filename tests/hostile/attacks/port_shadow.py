"""A process on the gateway binds the public port of a living flow, to read the datagrams that come in for it.

It is any user's process: the ports are not privileged ones. It must read nothing, and the flow must go on, also
after the few seconds in which the gateway looks for ports in use.
"""

from __future__ import annotations

import time

from tests.hostile.network import PUBLIC, SERVER, Datagrams, Network
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 8; A-22"
ROWS = ("A-22",)
SECONDS = 6.0
"""The gateway looks at its host's sockets every 2 s."""


def attack(network: Network) -> Verdict:
    return shadow(network, connected=False)


def shadow(network: Network, connected: bool) -> Verdict:
    with network.datagrams() as flow, network.udp(PUBLIC, flow.public[1], host="gw1") as thief:
        if connected:
            thief.connect((SERVER, flow.port))
        lost, asked = _traffic(flow)
        thief.setblocking(False)
        stolen = _read(thief)
    said = f"{stolen} datagrams read by the other process, {lost} of {asked} lost"
    return held_if(not stolen and not lost, said)


def _traffic(flow: Datagrams) -> tuple[int, int]:
    flow.near.settimeout(0.3)
    flow.far.settimeout(0.3)
    until, lost, asked = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < until:
        asked += 1
        lost += not flow.ask()
        time.sleep(0.1)
    return lost, asked


def _read(thief: object) -> int:
    for count in range(10_000):
        try:
            thief.recv(2000)  # type: ignore[attr-defined]
        except OSError:
            return count
    return 10_000
