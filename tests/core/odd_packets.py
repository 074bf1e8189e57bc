"""Packets as no ordinary sender makes them, yet well-formed: every header length, every bit, odd options.

`choose(n)` gives an integer of 0..n-1, as in `stress`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ipmasq.wire.addresses import Address
from tests.conformance import packets
from tests.conformance.packets import DF, ICMP, MF, TCP, UDP

Choose = Callable[[int], int]

EDGES = (0, 8, 64, 1480, 32768, 65456, 65472, 65512)
"""Where fragments begin and end, in bytes: few places, so that they fit each other."""
LARGEST = 65535
PATTERN = struct.pack("!HHHH", 5000, 53, 8, 0) + bytes(range(256)) * 257
"""What a fragmented datagram carries: a UDP header without a checksum, then whatever."""
MSS_VALUES = (0, 1, 5, 12, 48, 88, 536, 1460, 65495, 65535)
SCALES = (0, 2, 7, 14, 15, 255)
PORTS = (5000, 5001, 20, 21, 53, 80, 2121, 6000, 7000, 61000, 61003, 61009, 0, 65535)


def any_fragment(source: Address, destination: Address, choose: Choose) -> bytes:
    """One of two datagrams of this pair, with whatever header length it likes."""
    start = EDGES[choose(len(EDGES))]
    end = EDGES[choose(len(EDGES))] + (choose(8) if choose(4) == 0 else 0)
    options = any_ip_options(choose)
    end = min(max(start, end), start + LARGEST - 20 - len(options))
    more = MF if choose(2) else 0
    payload = PATTERN[start:end]
    if choose(16) == 0:
        payload = bytes(len(payload))
    return packets.ip(
        source,
        destination,
        (UDP, UDP, UDP, TCP, ICMP, 47)[choose(6)],
        payload,
        ttl=64 if choose(8) else choose(256),
        identification=choose(2),
        fragment=more | start // 8 | (DF if choose(8) == 0 else 0),
        tos=choose(256) if choose(4) == 0 else 0,
        options=options,
    )


def any_ip_options(choose: Choose) -> bytes:
    """Mostly none; else up to 40 bytes: NOPs, or anything."""
    kind = choose(6)
    if kind < 3:
        return b""
    length = (4, 8, 20, 36, 40)[choose(5)]
    return b"\1" * length if kind < 5 else bytes(choose(256) for _ in range(length))


def any_packet(source: Address, destination: Address, choose: Choose) -> bytes:
    """TCP, UDP, ICMP or another protocol; all lengths and checksums are right."""
    kind = choose(8)
    if kind < 4:
        body = any_segment(source, destination, choose)
        protocol = TCP
    elif kind < 6:
        payload = bytes(choose(40))
        length = 8 + len(payload)
        body = struct.pack("!HHHH", any_port(choose), any_port(choose), length, 0) + payload
        if choose(4):
            sum_ = packets.checksum(packets.pseudo(source, destination, UDP, length) + body)
            body = body[:6] + (sum_ or 0xFFFF).to_bytes(2, "big") + body[8:]
        protocol = UDP
    elif kind == 6:
        body = bytes((choose(20), choose(4), 0, 0)) + bytes(choose(256) for _ in range(4))
        body += bytes(choose(40))
        body = body[:2] + packets.checksum(body).to_bytes(2, "big") + body[4:]
        protocol = ICMP
    else:
        body, protocol = bytes(choose(30)), (47, 50, 41, 2, 132, 0)[choose(6)]
    return packets.ip(
        source,
        destination,
        protocol,
        body,
        ttl=64 if choose(4) else choose(256),
        identification=choose(1 << 16),
        fragment=(DF, 0, 0x8000, 0x8000 | DF)[choose(4)],
        tos=choose(256),
        options=any_ip_options(choose),
    )


def any_port(choose: Choose) -> int:
    return PORTS[choose(len(PORTS))]


def any_segment(source: Address, destination: Address, choose: Choose) -> bytes:
    """Every field of the TCP header is anything, the reserved bits too."""
    options = any_tcp_options(choose)
    flags = (2, 2, 0x12, 0x10, 0x18, 0x11, 0x14, 4, choose(256))[choose(9)]
    body = struct.pack(
        "!HHIIBBHHH",
        any_port(choose),
        any_port(choose),
        choose(1 << 32),
        choose(1 << 32),
        5 + len(options) // 4 << 4 | choose(16),
        flags,
        choose(1 << 16),
        0,
        choose(1 << 16) if choose(2) else 0,
    )
    body += options + (b"", b"HERE ", b"NOOP\r\n", bytes(choose(60)))[choose(4)]
    sum_ = packets.checksum(packets.pseudo(source, destination, TCP, len(body)) + body)
    return body[:16] + sum_.to_bytes(2, "big") + body[18:]


def any_tcp_options(choose: Choose) -> bytes:
    """Those of a SYN, those of data, or anything at all; a multiple of 4."""
    kind = choose(6)
    if kind < 2:
        return b""
    if kind == 2:
        return syn_options(choose)
    if kind == 3:
        return data_options(choose, choose(1 << 32))
    text = bytes(choose(256) for _ in range(choose(40)))
    return text + bytes(-len(text) % 4)


def syn_options(choose: Choose) -> bytes:
    options = b""
    if choose(4):
        options += b"\2\4" + MSS_VALUES[choose(len(MSS_VALUES))].to_bytes(2, "big")
    if choose(2):
        options += b"\1\3\3" + bytes((SCALES[choose(len(SCALES))],))
    if choose(2):
        options += b"\1\1\4\2"
    if choose(2):
        options += _timestamps(choose)
    if choose(12) == 0:
        options += bytes((choose(256), choose(12), choose(256), choose(256)))
    return options


def data_options(choose: Choose, awaited: int) -> bytes:
    """Timestamps, and SACK blocks near `awaited`, the next sequence number of the other end."""
    options = _timestamps(choose) if choose(2) else b""
    if choose(3) == 0:
        count = 1 + choose(3)
        options += bytes((1, 1, 5, 2 + 8 * count))
        for _ in range(count):
            left = awaited + choose(80)
            options += struct.pack("!II", left % 2**32, (left + choose(80)) % 2**32)
    if choose(12) == 0:
        kind, length = (8, 5, 2, 254)[choose(4)], choose(9)
        text = bytes((kind, length)) + bytes(choose(256) for _ in range(max(0, length - 2)))
        options += text + b"\1" * (-len(text) % 4)
    return options[:40]


def _timestamps(choose: Choose) -> bytes:
    return b"\1\1\x08\x0a" + struct.pack("!II", choose(1 << 32), choose(1 << 32))
