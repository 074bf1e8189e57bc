"""Packets whose lengths contradict each other or the frame, from both sides, and every IP protocol there is.

Total length, IP header length, TCP data offset, UDP length; headers cut short; padding behind the packet, which
must not reach anybody. Afterwards the gateway must forward as before.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile import packets
from tests.hostile.network import ATTACKER, PUBLIC, SERVER, STRANGER, Network
from tests.hostile.packets import ACK, SYN, TCP, UDP
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-39, A-38"
ROWS = ("A-39", "A-38")
TRAILER = b"trailer of the frame"


def attack(network: Network) -> Verdict:
    tap = network.tap("net", "transit")
    with network.datagrams() as flow:
        network.inside.send(packets.udp((ATTACKER, 9), (STRANGER, 9), b"padded") + TRAILER)
        padded = tap.first(lambda facts: facts.payload.startswith(b"padded"))
        control(padded, "a padded datagram does not pass")
        assert padded
        for wire, source, to in (
            (network.inside, (ATTACKER, 4000), (SERVER, flow.port)),
            (network.outside, (SERVER, flow.port), (PUBLIC, flow.public[1])),
        ):
            wire.send(*_bad(source, to))
    trouble = network.trouble()
    clean = padded.payload == b"padded"
    said = trouble or ("forwards as before" if clean else "the frame's padding was sent on")
    return held_if(clean and not trouble, said)


def _bad(source: tuple[str, int], to: tuple[str, int]) -> Iterator[bytes]:
    for total in (0, 1, 19, 20, 21, 27, 36, 1500, 65535):
        yield packets.udp(source, to, b"12345678", total=total)
        yield packets.tcp(source, to, SYN, 1, total=total)
    for ihl in (0, 1, 4, 6, 15):
        yield packets.udp(source, to, b"12345678", ihl=ihl)
        yield packets.tcp(source, to, ACK, 1, ihl=ihl)
    for offset in (0, 1, 4, 6, 15):
        for flags in (SYN, ACK):
            yield packets.tcp(source, to, flags, 1, payload=b"1234", offset=offset)
    for length in (0, 1, 7, 8, 9, 17, 65535):
        yield packets.udp(source, to, b"12345678", length=length)
    whole = packets.tcp(source, to, SYN, 1)
    for size in range(1, len(whole)):
        yield whole[:size]
        yield packets.ip(source[0], to[0], TCP, whole[20:size])
        yield packets.ip(source[0], to[0], UDP, whole[20:size])
    for protocol in range(256):
        for size in (0, 1, 8, 60):
            yield packets.ip(source[0], to[0], protocol, bytes(size))
