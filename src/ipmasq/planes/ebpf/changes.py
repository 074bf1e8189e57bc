"""Watches rules, routes, devices and neighbours, and reports when cached next hops are no longer valid."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

# <linux/rtnetlink.h>, <linux/neighbour.h>
GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 1 << 23
"""Links, neighbours, IPv4 addresses, routes, rules, and IPv4 settings (`rp_filter`)."""
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29
NDA_DST, NDA_LLADDR = 1, 2
NUD_FAILED = 0x20

_HEADER = struct.Struct("=IHHII")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_ATTRIBUTE = struct.Struct("=HH")


class HopChanges:
    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, GROUPS))
        self._neighbours: dict[tuple[int, bytes], bytes] = {}

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def have_come(self) -> bool:
        """Return whether a relevant change has occurred since the last call."""
        changed = False
        with suppress(BlockingIOError):
            while True:
                try:
                    data = self._socket.recv(1 << 16)
                except BlockingIOError:
                    raise
                except OSError:  # some messages were lost
                    self._neighbours.clear()
                    changed = True
                    continue
                for kind, body in _messages(data):
                    changed |= kind not in (RTM_NEWNEIGH, RTM_DELNEIGH) or self._moved(kind, body)
        return changed

    def _moved(self, kind: int, body: bytes) -> bool:
        """Return whether a neighbour's address has changed. Neighbours are confirmed all the time, which does
        not matter."""
        _, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
        attributes = dict(_attributes(body[_NEIGHBOUR.size :]))
        key = index, attributes.get(NDA_DST, b"")
        if kind == RTM_DELNEIGH or state & NUD_FAILED:
            self._neighbours.pop(key, None)
            return True
        address = attributes.get(NDA_LLADDR)
        if address is None or self._neighbours.get(key) == address:
            return False
        known = key in self._neighbours
        self._neighbours[key] = address
        return known


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
