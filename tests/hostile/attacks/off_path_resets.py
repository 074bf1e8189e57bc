"""Resets sprayed over all public ports, with random sequence numbers, by a host that sees nothing (ReDAN).

With ICMP "fragmentation needed" messages in between. Idle connections must stay and go on, the next word being
the server's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.hostile import packets
from tests.hostile.network import PUBLIC, SERVER, Network, converse, failure
from tests.hostile.packets import ACK, ICMP, RST
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "A-23; issue 7, point 4"
ROWS = ("A-23", "7857-2.2c")
PORTS = range(61000, 65096)
SETTINGS = {"gateway": {"ports": "61000-65095"}}


def attack(network: Network) -> Verdict:
    with network.connection(5001) as plain, network.connection(21) as watched:
        for near, far in (plain, watched):
            converse(near, far)
        network.outside.pour(_sprayed(watched[1].getpeername()[1]), 6000)
        said = []
        for name, port, (near, far) in (("plain", 5001, plain), ("watched", 21, watched)):
            flow = network.gateway.flow(near.getsockname(), (SERVER, port))
            state = flow["state"] if flow else "forgotten"
            trouble = failure(far.sendall, b"220 still here\r\n") or failure(near.recv, 100)
            trouble = trouble or failure(converse, near, far)
            if trouble or state != "ESTABLISHED":
                said.append(f"{name} connection {state} {trouble}".strip())
    return held_if(not said, "; ".join(said) or "both connections stay established and go on")


def _sprayed(known: int) -> Iterator[bytes]:
    chance = random.Random(7)
    for remote in (5001, 21):
        for port in (*PORTS, *[known] * 500):
            for flags in (RST, RST | ACK):
                seq, ack = chance.getrandbits(32), chance.getrandbits(32)
                yield packets.tcp((SERVER, remote), (PUBLIC, port), flags, seq, ack)
    for port in PORTS[::8]:
        quoted = packets.tcp((PUBLIC, port), (SERVER, 5001), ACK, chance.getrandbits(32))[:28]
        for mtu in (0, 68, 552):
            yield packets.ip(SERVER, PUBLIC, ICMP, _too_big(quoted, mtu))


def _too_big(quoted: bytes, mtu: int) -> bytes:
    message = bytes((3, 4, 0, 0, 0, 0)) + mtu.to_bytes(2, "big") + quoted
    return message[:2] + packets.finish(packets.fold(message)).to_bytes(2, "big") + message[4:]
