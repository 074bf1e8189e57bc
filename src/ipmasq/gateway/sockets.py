"""Asks the kernel whether a packet would find a socket of this host.

The kernel performs its own look-up, `inet_lookup` or `udp4_lib_lookup`, by way of sock_diag(7). It covers
listening, connected and wildcard sockets, those of IPv6 that accept IPv4 too, and those bound to a device. A
look-up costs some 4 us, so no answer is cached, and none is ever outdated.
"""

from __future__ import annotations

import socket
import struct
import time

from ipmasq.core.host import SocketMatch
from ipmasq.gateway.host import ports_in_use
from ipmasq.wire.addresses import Endpoint

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
UDP = 17

# <linux/netlink.h>, <linux/inet_diag.h>: struct nlmsghdr, then struct inet_diag_req_v2.
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct("=BBBBI")
_PLACE = struct.Struct("!HH4s12x4s12x")
_REST = struct.Struct("=IQ")
_KIND = struct.Struct("=4xH")
_PEER = struct.Struct("!6xH")
"""Behind the header: the remote port of `struct inet_diag_msg`, 0 for a socket that is not connected."""
_SIZE = _HEADER.size + _FAMILY.size + _PLACE.size + _REST.size
_HEAD = _HEADER.pack(_SIZE, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFFFFFFFFFF

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
            if _PEER.unpack_from(answer, _HEADER.size)[0]
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


def index_of(interface: str) -> int:
    """Return the ifindex, or 0 if there is no such interface now."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0
