"""Resets of connections that should live, as the hosts at both ends see them.

A reset that a host sends for a connection that is over counts for nothing. A FIN that waits for longer than its sender
does (on a busy machine, or while the gateway is replaced) is sent again, both are acknowledged, and the second
acknowledgment comes to a port where there is no connection any more, which a host answers so (RFC 9293, 3.10.7.1). The
answer stands where that segment's acknowledgment is: behind the host's FIN, or right before it if the segment was sent
before the FIN arrived.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

from tests.hostile.packets import FIN, RST, Facts, read
from tests.hostile.wire import ETH_P_ALL, ROOM, SO_RCVBUFFORCE, packet_socket

SO_ATTACH_FILTER = 26
ETHERNET = 14
FILTER = (
    (0x28, 0, 0, 12),  # ldh [12]
    (0x15, 0, 6, 0x0800),  # IPv4,
    (0x30, 0, 0, ETHERNET + 9),  # ldb [23]
    (0x15, 0, 4, 6),  # TCP,
    (0xB1, 0, 0, ETHERNET),  # ldxb 4*([14]&0xf)
    (0x50, 0, 0, ETHERNET + 13),  # ldb [x + 27]
    (0x45, 0, 1, FIN | RST),  # with one of these flags
    (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
)
"""Lets the socket have few packets (linux/filter.h: code, jt, jf, k)."""

Way: TypeAlias = tuple[tuple[str, int], tuple[str, int]]


class Hosts(Protocol):
    def at(self, host: str) -> AbstractContextManager[None]: ...


class Endings:
    """The FINs that were seen, and which resets come after them."""

    def __init__(self) -> None:
        self._fins: defaultdict[Way, set[tuple[int, int]]] = defaultdict(set)
        """Of each direction: behind which sequence number a FIN ends, and what it acknowledges."""

    def note(self, segment: Facts) -> None:
        if segment.flags & FIN:
            end = segment.seq + len(segment.payload) + 1 & 0xFFFFFFFF
            self._fins[segment.source, segment.destination].add((end, segment.ack))

    def is_over(self, reset: Facts) -> bool:
        """Whether both ends have ended the connection before: the reset is right behind or right before its sender's
        own FIN, after which nothing can come that was not sent yet."""
        own = self._fins[reset.source, reset.destination]
        others = self._fins[reset.destination, reset.source]
        return bool(others) and any((end - reset.seq) & 0xFFFFFFFF <= 1 for end, _ in own)

    def said(self, reset: Facts) -> Iterator[str]:
        """Tell the FINs of a reset's connection."""
        ends = (reset.source, reset.destination), (reset.destination, reset.source)
        for (source, destination), (end, ack) in (
            (way, fin) for way in ends for fin in sorted(self._fins[way])
        ):
            yield f"FIN from {source[0]}:{source[1]} to {destination[0]}:{destination[1]} to {end}, acknowledges {ack}"


class Sent:
    """The resets that a host sends by its interface `eth`."""

    def __init__(self, where: Hosts, host: str) -> None:
        with where.at(host):
            self._raw = packet_socket("eth", ETH_P_ALL)
        self._raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in FILTER))
        program = struct.pack("HP", len(FILTER), ctypes.addressof(code))
        self._raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        self._raw.setblocking(False)
        self.close = self._raw.close

    def unwanted(self) -> Iterator[str]:
        """Return those of connections that were not over."""
        endings = Endings()
        for segment, is_own in self._seen():
            endings.note(segment)
            if segment.flags & RST and is_own and not endings.is_over(segment):
                (host, port), (to, at) = segment.source, segment.destination
                yield f"sent by {host}:{port} to {to}:{at}, sequence number {segment.seq}"
                yield from endings.said(segment)

    def _seen(self) -> Iterator[tuple[Facts, bool]]:
        while True:
            try:
                frame, about = self._raw.recvfrom(1 << 17)
            except BlockingIOError:
                return
            found = read(frame[ETHERNET:])
            if found:
                yield found, about[2] == socket.PACKET_OUTGOING  # type: ignore[attr-defined]


def counted(where: Hosts, host: str, name: str) -> int:
    """A counter of a host's TCP (RFC 1213: OutRsts are resets that it has sent, EstabResets connections that were
    reset)."""
    with where.at(host):
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index(name)])


@contextmanager
def no_resets(
    where: Hosts, ends: tuple[str, ...] = ("in", "out"), gateways: tuple[str, ...] = ()
) -> Iterator[None]:
    """Meanwhile no end of a connection that is not over sends a reset or gets one, and those `gateways` send none of
    their own."""
    counters = [(host, "EstabResets") for host in ends] + [(host, "OutRsts") for host in gateways]
    before = {each: counted(where, *each) for each in counters}
    with ExitStack() as stack:
        sent = [Sent(where, host) for host in ends]
        for each in sent:
            stack.callback(each.close)
        yield
        after = {each: counted(where, *each) for each in counters}
        changed = [
            f"{name} of {host}: {before[host, name]} -> {after[host, name]}"
            for host, name in counters
            if after[host, name] != before[host, name]
        ]
        found = [line for each in sent for line in each.unwanted()] + changed
        assert not found, "\n".join(found)
