"""Something at the other end: `python -m tests.bench.echo {udp|ftp} ADDRESS PORT...`.

`udp` sends every datagram back; `ftp` answers every line as an FTP server would.
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Callable

WITH_OPTIONS = "8"
"""Datagrams to this port and from it carry IP options: nothing but padding (RFC 791, 3.1)."""
PADDING = b"\x01\x01\x01\x00"


def datagram_socket(port: int) -> socket.socket:
    """For datagrams to or from this server port."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if port == int(WITH_OPTIONS):
        made.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, PADDING)
    return made


def udp(address: str, port: int) -> None:
    with datagram_socket(port) as server:
        server.bind((address, port))
        print("ready", flush=True)
        while True:
            server.sendto(*server.recvfrom(65536))


def ftp(address: str, *ports: int) -> None:
    """A line and its answer at a time."""
    with selectors.DefaultSelector() as selector:
        for port in ports:
            selector.register(socket.create_server((address, port)), selectors.EVENT_READ, "listen")
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                if key.data == "listen":
                    client = key.fileobj.accept()[0]
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.sendall(b"220 ready\r\n")
                    selector.register(client, selectors.EVENT_READ, "serve")
                elif line := key.fileobj.recv(4096):
                    done = b"200 PORT command successful.\r\n"
                    key.fileobj.sendall(done if line.startswith(b"PORT") else b"200 done.\r\n")
                else:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()


SERVERS: dict[str, Callable[..., None]] = {"udp": udp, "ftp": ftp}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
