"""Room for a flood at a server that did not ask for it.

vsftpd listens with a backlog of 32. A flood of SYNs fills it, and from then on its kernel answers with SYN
cookies, which keep nothing of a connection until the client's acknowledgment comes. If that is lost, as faults
have it, the client believes that it is connected, the server has never heard of it and repeats nothing, and
where the server speaks first, both wait for ever: no gateway can mend that. So the soak's servers get a queue
that holds the flood.
"""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

ROOM = 4096
"""Connections: more than a flood opens while a kernel repeats its SYN-ACK, a minute."""

_PIDFD_GETFD = 438
"""Its number on every architecture; Python has no name for it."""

_syscall = ctypes.CDLL(None, use_errno=True).syscall


def widen(process: int) -> None:
    """Give everything on which a process listens `ROOM`. Raises OSError if it is not allowed."""
    holder = os.pidfd_open(process)
    try:
        for name in os.listdir(f"/proc/{process}/fd"):
            if _is_socket(process, name):
                _widen(holder, int(name))
    finally:
        os.close(holder)


def _is_socket(process: int, name: str) -> bool:
    return os.readlink(Path("/proc", str(process), "fd", name)).startswith("socket:")


def _widen(holder: int, descriptor: int) -> None:
    own = _syscall(_PIDFD_GETFD, holder, descriptor, 0)
    if own < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with socket.socket(fileno=own) as shared:
        if shared.type is socket.SOCK_STREAM and shared.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            shared.listen(ROOM)
