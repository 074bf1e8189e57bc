"""Captures made by hand or by other programs, for tests."""

from __future__ import annotations

import io
import struct

from scapy.all import IP, UDP, Ether

from ipmasq.wire import capture
from ipmasq.wire.pcapng import Writer
from ipmasq.wire.record import Record

FRAME = bytes(Ether() / IP(src="10.0.0.2", dst="198.51.100.1") / UDP(sport=1, dport=2) / b"payload")


def read(data: bytes) -> list[Record]:
    return list(capture.read(io.BytesIO(data)))


def written(*wanted: Record) -> bytes:
    target = io.BytesIO()
    writer = Writer(target)
    for record in wanted:
        writer.write(record)
    return target.getvalue()


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int = 1, snap: int = 0, options: bytes = b"") -> bytes:
    return block(order, 1, struct.pack(order + "HHI", link, 0, snap) + options)


def packet(order: str, number: int, units: int, data: bytes, options: bytes = b"") -> bytes:
    head = struct.pack(
        order + "IIIII", number, units >> 32, units & 0xFFFFFFFF, len(data), len(data)
    )
    return block(order, 6, head + data + bytes(-len(data) % 4) + options)
