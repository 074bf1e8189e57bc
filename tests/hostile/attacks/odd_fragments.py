"""Overlapping, tiny, too long and contradictory fragments, to the public port of a living flow.

None may be delivered (teardrop, RFC 1858, RFC 3128). A datagram in three good
fragments is the control.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.network import PUBLIC, SERVER, Network
from tests.hostile.packets import MF, UDP
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-32"
ROWS = ("A-32",)
Piece = tuple[int, int, bool]
"""Offset and length in bytes, and whether more follow."""
ODD: dict[str, list[Piece]] = {
    "overlap by one unit": [(0, 64, True), (56, 72, False)],
    "overlap by one unit, last first": [(56, 72, False), (0, 64, True)],
    "inside another": [(0, 128, True), (16, 16, True), (128, 8, False)],
    "inside another, last first": [(128, 8, False), (16, 16, True), (0, 128, True)],
    "two ends": [(64, 16, False), (64, 32, False), (0, 64, True)],
    "beyond the end": [(64, 16, False), (80, 16, True), (0, 64, True)],
    "beyond the end, last at last": [(0, 64, True), (80, 16, True), (64, 16, False)],
    "tiny first": [(0, 8, True), (0, 64, True), (64, 8, False)],
    "length not of 8": [(0, 60, True), (56, 72, False)],
    "too long": [(0, 64, True), (65528, 64, False)],
    "contradiction": [(0, 64, True), (0, 64, True), (64, 64, False)],
}


def attack(network: Network) -> Verdict:
    with network.datagrams() as flow:
        to = (PUBLIC, flow.public[1])
        good = packets.udp_datagram((SERVER, flow.port), to, b"good" * 300)
        network.outside.send(*packets.pieces(SERVER, PUBLIC, UDP, good, 1, 400))
        control(flow.near.recv(2000) == b"good" * 300, "good fragments are not delivered")
        for number, shape in enumerate(ODD.values(), 2):
            network.outside.send(*_pieces(shape, number, flow.port, to))
        time.sleep(0.3)
        flow.near.setblocking(False)
        delivered = 0
        try:
            while flow.near.recv(70000):
                delivered += 1
        except BlockingIOError:
            pass
    trouble = network.trouble()
    said = f"{delivered} of {len(ODD)} odd datagrams delivered"
    return held_if(not delivered and not trouble, f"{said}; {trouble}" if trouble else said)


def _pieces(shape: list[Piece], number: int, port: int, to: tuple[str, int]) -> list[bytes]:
    made = []
    for index, (offset, length, more) in enumerate(shape):
        data = bytes([65 + index]) * length
        if offset == 0:
            total = max(start + size for start, size, _ in shape)
            header = packets.udp_datagram((SERVER, port), to, bytes(min(total, 65535) - 8))[:6]
            data = header + b"\0\0" + data[8:]  # no checksum: it must not be what stops it
        fragment = (MF if more else 0) | offset // 8
        made.append(packets.ip(SERVER, PUBLIC, UDP, data, identification=number, fragment=fragment))
    return made
