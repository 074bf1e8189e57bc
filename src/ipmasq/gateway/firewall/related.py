"""Makes expected data connections `related` in the kernel's conntrack, as if a conntrack helper had expected
them: rule sets that accept `ct state related` accept them, others refuse them.

An entry is made for the data flow before its first packet passes the firewall, with the control flow's entry
as its master (`CTA_TUPLE_MASTER`). If conntrack does not know the control flow, because no rule on this host
needs its state, the kernel refuses the entry, which does no harm.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from ipmasq.core.offloading import Command, Relate
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint

# <linux/netfilter/nfnetlink_conntrack.h>
NETLINK_NETFILTER = 12
CT_NEW = 1 << 8  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
REQUEST, CREATE, EXCLUSIVE = 0x1, 0x400, 0x200
NESTED = 0x8000
ORIGINAL, REPLY, TIMEOUT, MASTER = 1, 2, 7, 14
IP, PROTO = 1, 2

OPENING = 120
"""Seconds that conntrack keeps the entry if no packet comes: as long as for a SYN."""


class Related:
    """Carries out the `Relate` commands of the engine."""

    def __init__(self) -> None:
        self._kernel: socket.socket | None = None
        with suppress(OSError):  # a kernel without netfilter
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
            self._kernel = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)

    def __call__(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if (
                isinstance(command, Relate)
                and command.protocol in (ipv4.TCP, ipv4.UDP)
                and len(command.server.address) == 4
            ):
                self._announce(command)

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def _announce(self, command: Relate) -> None:
        if self._kernel is None:
            return
        with suppress(OSError):
            self._kernel.send(new_entry(command))
        with suppress(OSError):  # refusals, which are of no interest
            while self._kernel.recv(4096):
                pass


def new_entry(command: Relate) -> bytes:
    """The message."""
    ends = command.client, command.server
    master = command.master_client, command.master_server
    body = struct.pack("!BBH", socket.AF_INET, 0, 0)
    body += _nested(ORIGINAL, _tuple(command.protocol, *ends))
    body += _nested(REPLY, _tuple(command.protocol, *reversed(ends)))
    body += _attribute(TIMEOUT, struct.pack("!I", OPENING))
    body += _nested(MASTER, _tuple(command.master_protocol, *master))
    return struct.pack("=IHHII", 16 + len(body), CT_NEW, REQUEST | CREATE | EXCLUSIVE, 0, 0) + body


def _tuple(protocol: int, source: Endpoint, destination: Endpoint) -> bytes:
    addresses = _attribute(1, source.address) + _attribute(2, destination.address)
    ports = _attribute(2, struct.pack("!H", source.port))
    ports += _attribute(3, struct.pack("!H", destination.port))
    return _nested(IP, addresses) + _nested(PROTO, _attribute(1, bytes((protocol,))) + ports)


def _nested(kind: int, content: bytes) -> bytes:
    return _attribute(kind | NESTED, content)


def _attribute(kind: int, content: bytes) -> bytes:
    padding = bytes(-len(content) % 4)
    return struct.pack("=HH", 4 + len(content), kind) + content + padding
