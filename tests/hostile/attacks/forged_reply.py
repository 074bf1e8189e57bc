"""A passive reply that names another inside host and a privileged port, written by a neighbour of the server.

It has the right addresses and the exact sequence number, so it counts as the server's. It must open nothing
that leads to anybody but the two ends. The right reply, which announces a flow, is the control.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.ftp import line, session
from tests.hostile.network import ATTACKER, PUBLIC, SERVER, STRANGER, Network
from tests.hostile.packets import ACK, PSH
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-05, A-06"
ROWS = ("A-05", "A-06")
FORGED = (ATTACKER, STRANGER, "10.0.0.1", "127.0.0.1")


def attack(network: Network) -> Verdict:
    with network.connection(21) as (near, far):
        session(near, far, PUBLIC)
        near.sendall(b"PASV\r\n")
        line(far)
        far.sendall(_reply(SERVER, 40_001))
        line(near)
        control(len(network.gateway.rows("expectations")) == 2, "a right reply opens nothing")
    wrong = []
    for address in FORGED:
        wrong += _forge(network, address)
    said = f"expected: {', '.join(wrong)}" if wrong else "no forged reply opens anything"
    return held_if(not wrong, said)


def _forge(network: Network, address: str) -> list[str]:
    tap = network.tap("in1", "eth0")
    with network.connection(21) as (near, far):
        session(near, far, PUBLIC)
        near.sendall(b"PASV\r\n")
        line(far)
        time.sleep(0.2)
        last = [f for f in tap.facts() if f.source == (SERVER, 21)][-1]
        known = {row["announced"]["port"] for row in network.gateway.rows("expectations")}
        seq = last.seq + len(last.payload)
        made = packets.tcp(
            (SERVER, 21), far.getpeername(), ACK | PSH, seq, last.ack, _reply(address, 22)
        )
        network.outside.send(made)
        time.sleep(0.3)
        rows = network.gateway.rows("expectations")
    tap.close()
    return [f"{address}:22" for row in rows if row["announced"]["port"] == 22 and 22 not in known]


def _reply(address: str, port: int) -> bytes:
    numbers = ",".join([*address.split("."), str(port // 256), str(port % 256)])
    return f"227 Entering Passive Mode ({numbers}).\r\n".encode()
