"""Messages of the kernel's netlink sockets, and reports of changes to links, addresses, neighbours and routing.

pyroute2 asks and changes things. These are for what is read all the time, where parsing every attribute of every
message would cost too much.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")
"""Length, type, flags, sequence number and port (<linux/netlink.h>)."""

_ATTRIBUTE = struct.Struct("=HH")


class Reports:
    """Reports of changes in the network namespace in which this object was made. Its descriptor becomes
    readable when there is one."""

    def __init__(self, groups: int) -> None:
        """`groups` is a set of bits, RTMGRP_* in <linux/rtnetlink.h>."""
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, groups))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def take(self) -> Iterator[tuple[int, bytes] | None]:
        """Yield the messages that have come, as in `messages`, and None where some were lost."""
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS
                yield None
            else:
                yield from messages(data)


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the content of each message."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        if length < HEADER.size:
            return
        yield kind, data[at + HEADER.size : at + length]
        at += _aligned(length)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the content of each attribute."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
