"""Packets as hosts send them, and the engine that they are sent to."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ipmasq.core.engine import Engine
from ipmasq.core.policy import HelperUse, Limits, Policy, PortRange
from ipmasq.core.side import Side
from ipmasq.helpers.ftp import Ftp
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint, to_address, to_network
from ipmasq.wire.checksum import finish, fold, pseudo_header_sum
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import ACK, PSH, SYN, Segment
from ipmasq.wire.tcp import write as write_segment

FTP = HelperUse("ftp", Ftp, ipv4.TCP, frozenset({21}), orthogonal=True)
PUBLIC = tuple(bytes((203, 0, 113, n)) for n in range(1, 41))
POLICY = Policy(
    inside=(to_network("10.0.0.0/8"),),
    public=PUBLIC,
    own=frozenset(PUBLIC),
    ports=PortRange(1024, 65535),
    helpers=(FTP,),
    limits=replace(
        Limits(),
        flows=4_000_000,
        flows_per_host=4_000_000,
        ports_per_host=1 << 16,
        lines=1_000_000_000,
        lines_per_host=1_000_000_000,
    ),
)
"""Room for a million flows with a mapping each, however unevenly hosts fall on addresses, and no limit to the lines that a helper looks at in a second:
benches play in a few virtual milliseconds what takes sessions minutes."""

REMOTE = to_address("198.51.100.7")
PAYLOAD = bytes(range(256))


class Sent(NamedTuple):
    data: bytes
    side: Side


def engine(policy: Policy = POLICY, now: float = 0.0) -> Engine:
    """Always the same one: what happened once happens again, to the byte."""
    return Engine(policy, random.Random(1999).randrange, now)


def datagram(source: Endpoint, destination: Endpoint, payload: bytes = PAYLOAD) -> bytes:
    body = bytearray(struct.pack("!HHHH", source.port, destination.port, 8 + len(payload), 0))
    body += payload
    _finish(body, 6, source, destination, ipv4.UDP)
    return bytes(ipv4.write(source.address, destination.address, ipv4.UDP, body))


def segment(
    source: Endpoint,
    destination: Endpoint,
    sequence: int,
    acknowledgment: int,
    flags: int = ACK,
    payload: bytes = b"",
) -> bytes:
    header = Segment(
        source.port, destination.port, sequence, acknowledgment, flags, 0xFFFF, 0, 0, b""
    )
    body = write_segment(header, payload)
    _finish(body, 16, source, destination, ipv4.TCP)
    return bytes(ipv4.write(source.address, destination.address, ipv4.TCP, body))


def _finish(body: bytearray, at: int, source: Endpoint, destination: Endpoint, kind: int) -> None:
    start = pseudo_header_sum(source.address, destination.address, kind, len(body))
    body[at : at + 2] = (finish(fold(body, start)) or 0xFFFF).to_bytes(2, "big")


def ends(number: int) -> tuple[Endpoint, Endpoint]:
    """Client and server of the flow with this number (up to 2**20): no two have a client in common."""
    host, port = divmod(number, 4096)
    client = Endpoint(bytes((10, 0, 1, host)), 1024 + port)
    return client, Endpoint(REMOTE[:3] + bytes((1 + number % 250,)), 443)


def pass_through(gateway: Engine, data: bytes, side: Side, now: float) -> bytes:
    """What comes out; the packet must go through."""
    (packet,) = gateway.receive(Packet(bytearray(data)), side, now).packets
    return bytes(packet.data)


def public_of(data: bytes) -> Endpoint:
    """The source of a packet."""
    return Endpoint(data[12:16], int.from_bytes(data[20:22], "big"))


def half_open(gateway: Engine, number: int, now: float) -> None:
    """A flow, by one datagram without an answer."""
    client, server = ends(number)
    pass_through(gateway, datagram(client, server, b""), Side.INSIDE, now)


def udp_flow(gateway: Engine, number: int, now: float) -> tuple[Sent, Sent]:
    """Open and settle a flow; a packet of each direction."""
    client, server = ends(number)
    out = datagram(client, server)
    public = public_of(pass_through(gateway, out, Side.INSIDE, now))
    back = datagram(server, public)
    pass_through(gateway, back, Side.OUTSIDE, now + 1e-6)
    return Sent(out, Side.INSIDE), Sent(back, Side.OUTSIDE)


def tcp_flow(gateway: Engine, number: int, now: float) -> tuple[Sent, Sent]:
    """The same with a connection, in which 1,000 bytes have gone each way."""
    client, server = ends(number)
    mine, yours = number * 0x9E3779B1 & 0xFFFFFFFF, number * 0x85EBCA6B & 0xFFFFFFFF
    syn = segment(client, server, mine, 0, SYN)
    public = public_of(pass_through(gateway, syn, Side.INSIDE, now))
    mine, yours = mine + 1 & 0xFFFFFFFF, yours + 1 & 0xFFFFFFFF
    opened = segment(server, public, yours - 1 & 0xFFFFFFFF, mine, SYN | ACK)
    pass_through(gateway, opened, Side.OUTSIDE, now + 1e-6)
    pass_through(gateway, segment(client, server, mine, yours), Side.INSIDE, now + 2e-6)
    said = b"x" * 1000
    out = segment(client, server, mine, yours, ACK | PSH, said)
    back = segment(server, public, yours, mine + len(said) & 0xFFFFFFFF, ACK | PSH, said)
    pass_through(gateway, out, Side.INSIDE, now + 3e-6)
    pass_through(gateway, back, Side.OUTSIDE, now + 4e-6)
    return Sent(out, Side.INSIDE), Sent(back, Side.OUTSIDE)


def play(gateway: Engine, traffic: Sequence[Sent], now: float) -> None:
    """The way a plane brings packets: one buffer for all, 64 in the same instant, then the events."""
    buffer = memoryview(bytearray(65536))
    receive = gateway.receive
    for start in range(0, len(traffic), 64):
        now += 1e-4
        for data, side in traffic[start : start + 64]:
            size = len(data)
            buffer[:size] = data
            receive(Packet(buffer[:size]), side, now)
        gateway.events()


def shuffled(traffic: Sequence[Sent], count: int) -> list[Sent]:
    """`count` packets, each by chance out of these."""
    return random.Random(count).choices(traffic, k=count)
