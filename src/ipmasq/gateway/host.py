"""Observes the host: ports in use, and changes of its links and addresses."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ipmasq.planes.netlink import Reports

TCP = 6
UDP = 17
TABLES = (("tcp", TCP), ("tcp6", TCP), ("udp", UDP), ("udp6", UDP))

# <linux/rtnetlink.h>: links and IPv4 addresses.
RTMGRP_LINK = 0x1
RTMGRP_IPV4_IFADDR = 0x10


def ports_in_use(directory: Path = Path("/proc/net")) -> frozenset[tuple[int, int]]:
    """Return (protocol, port) of every TCP and UDP socket of this host that other hosts can reach."""
    return frozenset(
        (protocol, port) for name, protocol in TABLES for port in _ports(directory / name) if port
    )


def _ports(table: Path) -> Iterator[int]:
    with (
        suppress(FileNotFoundError),
        table.open() as lines,
    ):  # without IPv6 there is no tcp6 or udp6
        next(lines, None)
        for line in lines:
            address, _, port = line.split(maxsplit=2)[1].partition(":")
            if not _is_loopback(address):
                yield int(port, 16)


def _is_loopback(address: str) -> bool:
    """The kernel prints 32-bit words in host order: the first byte of 127.0.0.1 comes last."""
    return address.endswith("7F") if len(address) == 8 else address == "0" * 24 + "01000000"


class Changes(Reports):
    """A descriptor that becomes readable when a link or an address of this host has changed."""

    def __init__(self) -> None:
        super().__init__(RTMGRP_LINK | RTMGRP_IPV4_IFADDR)

    def drain(self) -> None:
        """Discard all messages; the receiver looks at the present state. (So losing messages does no harm.)"""
        for _ in self.take():
            pass


def notify_systemd(state: str) -> None:
    """Send sd_notify(3): `READY=1`, `STOPPING=1`, ... Does nothing unless systemd asked for it, and never
    waits for systemd."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, suppress(OSError):
            channel.setblocking(False)
            channel.sendto(state.encode(), "\0" + path[1:] if path[0] == "@" else path)


def tell_main_process(process: int, patience: float = 2.0) -> None:
    """Tell systemd which process is the service's main one now, and wait until it knows (sd_notify_barrier(3)): it no
    longer believes a process that has ended."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    notify_systemd(f"MAINPID={process}")
    mine, its = os.pipe2(os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, suppress(OSError):
            channel.connect("\0" + path[1:] if path[0] == "@" else path)
            socket.send_fds(channel, [b"BARRIER=1"], [its])
    finally:
        os.close(its)
    poll = select.poll()
    poll.register(mine, 0)  # systemd closes the other end: POLLHUP
    poll.poll(patience * 1000)
    os.close(mine)
