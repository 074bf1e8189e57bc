"""Which endpoints a packet names, and how two packets differ, for people."""

from __future__ import annotations

from ipmasq.wire import ipv4, tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.packet import Buffer


def ends(data: bytes | Buffer) -> tuple[int, Endpoint, Endpoint] | None:
    """Protocol, source and destination; an ICMP message's identifier stands on both ends, and other
    protocols, and fragments after the first, have port 0."""
    header = ipv4.read(data)
    if header is None:
        return None
    start = header.length
    first = last = 0
    if header.offset == 0 and header.total - start >= 8:
        if header.protocol in (ipv4.TCP, ipv4.UDP):
            first, last = _number(data, start), _number(data, start + 2)
        elif header.protocol == ipv4.ICMP:
            first = last = _number(data, start + 4)
    return header.protocol, Endpoint(header.source, first), Endpoint(header.destination, last)


def differences(before: bytes | Buffer, after: bytes | Buffer) -> str:
    """How the addresses, ports and TCP numbers of an IPv4 packet changed; empty if they did not."""
    old, new = ends(before), ends(after)
    if old is None or new is None:
        return ""
    changes = [
        f"{what} {was} -> {now}"
        for what, was, now in (("source", old[1], new[1]), ("destination", old[2], new[2]))
        if was != now
    ]
    if old[0] == ipv4.TCP:
        changes += _shifts(before, after)
    return ", ".join(changes)


def _shifts(before: bytes | Buffer, after: bytes | Buffer) -> list[str]:
    old, new = _segment(before), _segment(after)
    if old is None or new is None:
        return []
    found = []
    for what, was, now in (
        ("sequence", old.sequence, new.sequence),
        ("acknowledgment", old.acknowledgment, new.acknowledgment),
    ):
        if was != now and (what == "sequence" or old.flags & new.flags & tcp.ACK):
            found.append(f"{what} {tcp.distance(was, now):+d}")
    return found


def _segment(data: bytes | Buffer) -> tcp.Segment | None:
    start = (data[0] & 0x0F) * 4
    return tcp.read(memoryview(data)[start:])


def _number(data: bytes | Buffer, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
