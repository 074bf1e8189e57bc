"""A process that keeps a gateway's devices while no gateway runs: `keeper.py LISTENER COMMAND...`.

A TUN device lives, with the packets in its queue, as long as a process has its descriptor. The keeper has copies. If
the gateway ends without a word and no other one has taken the descriptors within the grace time, the keeper closes
them and becomes COMMAND, which undoes what the gateway has changed. LISTENER is the descriptor of a listening Unix
socket (SOCK_SEQPACKET). A message is a word and arguments, with descriptors where they belong:

    hold GRACE NAME...   keep these descriptors, for GRACE seconds after this connection has ended
    take                 answered by the names and the descriptors
    end                  keep nothing, and end

It imports nothing but the standard library, so that it needs little memory and starts at once.
"""

import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress

MOST = 8
"""The most descriptors of a message."""
MESSAGE = 1024
UNUSED = 30.0
"""Seconds after which nothing was given: whoever has started this process was killed before."""


def check_peer(link: socket.socket) -> None:
    """Raise PermissionError unless root or the user of this process is at the other end: the directory of the socket
    may belong to another user."""
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    if struct.unpack("3i", credentials)[1] not in (0, os.geteuid()):
        raise PermissionError("another user is at the other end")


class Keeper:
    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._clients: dict[int, socket.socket] = {}
        self._holder = -1
        """The connection of the gateway, as a descriptor."""
        self._held: dict[str, int] = {}
        self._grace = 0.0
        self._deadline: float | None = time.monotonic() + UNUSED

    def run(self) -> bool:
        """Run until the end. Return whether the grace time has passed without a successor."""
        while True:
            timeout = None
            if self._deadline is not None:
                timeout = max(0.0, self._deadline - time.monotonic())
            ready = select.select([self._listener, *self._clients.values()], [], [], timeout)[0]
            if not ready and self._deadline is not None:
                return True
            for each in ready:
                if each is self._listener:
                    self._accept()
                elif not self._serve(each):
                    return False

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            check_peer(client)
        except PermissionError:
            client.close()
        else:
            self._clients[client.fileno()] = client

    def _serve(self, client: socket.socket) -> bool:
        """Serve a message. Return whether to go on."""
        try:
            data, descriptors, _, _ = socket.recv_fds(client, MESSAGE, MOST)
        except OSError:
            data, descriptors = b"", []
        word, *arguments = data.decode().split() or [""]
        if word == "hold":
            self._hold(float(arguments[0]), dict(zip(arguments[1:], descriptors, strict=True)))
            self._holder = client.fileno()
        elif word == "take":
            names = " ".join(["held", *self._held])
            socket.send_fds(client, [names.encode()], list(self._held.values()))
        elif word == "end":
            return False
        else:
            self._gone(client)
        return True

    def _hold(self, grace: float, descriptors: dict[str, int]) -> None:
        before, self._held = self._held, descriptors
        for each in before.values():
            os.close(each)
        self._grace, self._deadline = grace, None

    def _gone(self, client: socket.socket) -> None:
        if client.fileno() == self._holder:
            self._holder = -1
            self._deadline = time.monotonic() + self._grace
        del self._clients[client.fileno()]
        client.close()

    def close(self) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        for client in (self._listener, *self._clients.values()):
            client.close()


def main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    path, command = listener.getsockname(), sys.argv[2:]
    # It is not allowed to every user.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("-1000")
    keeper = Keeper(listener)
    is_late = keeper.run()
    with suppress(
        OSError
    ):  # if it is gone already, what the gateway has changed is undone all the same
        os.unlink(path)
    keeper.close()
    if is_late:
        os.execv(command[0], command)


if __name__ == "__main__":
    main()
