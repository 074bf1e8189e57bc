"""Asks the kernel whether a packet would find a socket of this host.

The kernel performs its own look-up, `inet_lookup` or `udp4_lib_lookup`, by way of sock_diag(7). It covers
listening, connected and wildcard sockets, those of IPv6 that accept IPv4 too, and those bound to a device. A
look-up costs some 4 us, so no answer is cached, and none is ever outdated.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterable, Iterator

from ipmasq.core.host import SocketMatch
from ipmasq.core.policy import PortRange
from ipmasq.gateway.host import ports_in_use
from ipmasq.planes.netlink import HEADER, messages
from ipmasq.wire.addresses import Address, Endpoint

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
UDP = 17

# <linux/netlink.h>, <linux/inet_diag.h>: struct nlmsghdr, then struct inet_diag_req_v2.
_FAMILY = struct.Struct("=BBBBI")
_PLACE = struct.Struct("!HH4s12x4s12x")
_REST = struct.Struct("=IQ")
_KIND = struct.Struct("=4xH")
_PEER = struct.Struct("!6xH")
"""Behind the header: the remote port of `struct inet_diag_msg`, 0 for a socket that is not connected."""
_SIZE = HEADER.size + _FAMILY.size + _PLACE.size + _REST.size
_HEAD = HEADER.pack(_SIZE, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFFFFFFFFFF

# <linux/inet_diag.h>: what the kernel compares, so that it answers about few of very many sockets.
NLM_F_DUMP = 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
BYTECODE = 1
S_GE, S_LE = 2, 3
_OPERATION = struct.Struct("=BBH")
_LOCAL = struct.Struct("!4xH2x16s")
"""Of `struct inet_diag_msg`: the local port and address."""
_TCP_STATES = _ALL_STATES & ~(1 << 3 | 1 << 6 | 1 << 12)
"""But those that end by themselves: SYN_RECV, TIME_WAIT, NEW_SYN_RECV."""

MOST_LISTED = 2048
"""Sockets that the kernel is asked to list at once: 5 ms. Any user of the host can have hundreds of thousands."""

LIST_AGE = 0.05
"""Seconds for which the list of sockets is valid, if the kernel has no sock_diag."""


class Sockets:
    """The sockets of the network namespace in which this object was made."""

    def __init__(self) -> None:
        self.device = 0
        """The ifindex by which packets come in, so that sockets bound to it are found as well."""
        self._listed: frozenset[tuple[int, int]] = frozenset()
        self._listed_at = -LIST_AGE
        self._kernel: socket.socket | None = None
        try:
            self._kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
            self._kernel.bind((0, 0))
            if not self._finds_itself(self._kernel):
                self.close()
        except OSError:  # the kernel has no sock_diag
            self.close()

    @property
    def has_sock_diag(self) -> bool:
        """Whether the kernel answers such look-ups; otherwise its list is read."""
        return self._kernel is not None

    def find_socket(self, protocol: int, remote: Endpoint, local: Endpoint) -> SocketMatch:
        """Return which socket a TCP or UDP packet from `remote` to `local` would find. Without sock_diag:
        whether there is any socket at that port."""
        if self._kernel is not None:
            try:
                return self._ask(self._kernel, protocol, remote, local, self.device)
            except OSError:
                pass
        return (
            SocketMatch.ANY_REMOTE if (protocol, local.port) in self._list() else SocketMatch.NONE
        )

    def used(self, ranges: Iterable[PortRange]) -> frozenset[tuple[int, int]]:
        """`(protocol, port)` of sockets that others can reach, in these ranges; not all if there are very many."""
        if self._kernel is None:
            return frozenset(each for each in ports_in_use() if any(each[1] in r for r in ranges))
        found: set[tuple[int, int]] = set()
        for each in ranges:
            for protocol in (socket.IPPROTO_TCP, UDP):
                for family in (socket.AF_INET, socket.AF_INET6):
                    found.update((protocol, port) for port in _listed(family, protocol, each))
        return frozenset(found)

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def _ask(
        self, kernel: socket.socket, protocol: int, remote: Endpoint, local: Endpoint, device: int
    ) -> SocketMatch:
        """Look up in the kernel. Raises OSError."""
        # For UDP, the kernel takes the source for the remote end, "for historical reasons"
        # (net/ipv4/udp_diag.c).
        near, far = (remote, local) if protocol == UDP else (local, remote)
        kernel.send(
            _HEAD
            + _FAMILY.pack(socket.AF_INET, protocol, 0, 0, _ALL_STATES)
            + _PLACE.pack(near.port, far.port, near.address, far.address)
            + _REST.pack(device, _NO_COOKIE)
        )
        # The answer is there when `send` returns, since the kernel's side of netlink runs within it.
        answer = kernel.recv(1024, socket.MSG_DONTWAIT)
        if _KIND.unpack_from(answer)[0] != SOCK_DIAG_BY_FAMILY:  # an error: there is no socket
            return SocketMatch.NONE
        return (
            SocketMatch.CONNECTED
            if _PEER.unpack_from(answer, HEADER.size)[0]
            else SocketMatch.ANY_REMOTE
        )

    def _finds_itself(self, kernel: socket.socket) -> bool:
        """Return False for a kernel without the modules inet_diag and udp_diag, which denies every socket."""
        here = socket.inet_aton("127.0.0.1")
        for protocol, kind in ((UDP, socket.SOCK_DGRAM), (6, socket.SOCK_STREAM)):
            with socket.socket(socket.AF_INET, kind) as known:
                known.bind(("127.0.0.1", 0))
                if kind is socket.SOCK_STREAM:
                    known.listen(1)
                local = Endpoint(here, known.getsockname()[1])
                if not self._ask(kernel, protocol, Endpoint(here, 9), local, 0):
                    return False
        return True

    def _list(self) -> frozenset[tuple[int, int]]:
        now = time.monotonic()
        if now - self._listed_at >= LIST_AGE:
            self._listed, self._listed_at = ports_in_use(), now
        return self._listed


SOMEBODY = Endpoint(socket.inet_aton("192.0.2.1"), 9)
"""A remote end to which no socket is connected (RFC 5737)."""


def served(protocol: int, address: Address, ports: PortRange, interface: str) -> int | None:
    """Return the lowest of these ports at which the host itself, in the network namespace that this thread
    is in, serves packets that come in by the interface for the address. None if there is none."""
    sockets = Sockets()
    sockets.device = index_of(interface)
    try:
        for port in range(ports.low, ports.high + 1):
            found = sockets.find_socket(protocol, SOMEBODY, Endpoint(address, port))
            if found is not SocketMatch.NONE:
                return port
    finally:
        sockets.close()
    return None


def _listed(family: int, protocol: int, ports: PortRange) -> Iterator[int]:
    """Ports of the sockets with a local port of this range, but those that only the host itself can reach."""
    left = MOST_LISTED
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        try:
            kernel.send(_listing(family, protocol, ports))
            while True:
                for kind, message in messages(kernel.recv(1 << 16, socket.MSG_DONTWAIT)):
                    if kind in (NLMSG_DONE, NLMSG_ERROR) or not left:
                        return
                    left -= 1
                    port, address = _LOCAL.unpack_from(message)
                    if not _is_loopback(family, address):
                        yield port
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EAFNOSUPPORT):
                raise


def _listing(family: int, protocol: int, ports: PortRange) -> bytes:
    # Each condition and its number are two operations. A jump to 4 beyond the end means no.
    code = _OPERATION.pack(S_GE, 8, 20) + _OPERATION.pack(0, 0, ports.low)
    code += _OPERATION.pack(S_LE, 8, 12) + _OPERATION.pack(0, 0, ports.high)
    code = struct.pack("=HH", 4 + len(code), BYTECODE) + code
    states = _TCP_STATES if protocol == socket.IPPROTO_TCP else _ALL_STATES
    request = _FAMILY.pack(family, protocol, 0, 0, states) + bytes(_PLACE.size)
    request += _REST.pack(0, _NO_COOKIE) + code
    size, flags = HEADER.size + len(request), NLM_F_REQUEST | NLM_F_DUMP
    return HEADER.pack(size, SOCK_DIAG_BY_FAMILY, flags, 0, 0) + request


def _is_loopback(family: int, address: bytes) -> bool:
    if family == socket.AF_INET:
        return address[0] == 127
    return address == socket.inet_pton(socket.AF_INET6, "::1")


def index_of(interface: str) -> int:
    """Return the ifindex, or 0 if there is no such interface now."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0
