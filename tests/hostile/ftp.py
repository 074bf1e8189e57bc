"""The parts of an FTP conversation that attacks disturb. All raise OSError if it does not go on."""

from __future__ import annotations

import socket

from tests.hostile.network import expect

BANNER = b"220 ready\r\n"


def session(near: socket.socket, far: socket.socket, public: str) -> None:
    """Banner, a PORT that is rewritten, its answer."""
    far.sendall(BANNER)
    expect(near, BANNER)
    port(near, far, public)


def port(near: socket.socket, far: socket.socket, public: str) -> str:
    """A PORT command with the client's address arrives with the public one; returns the line."""
    numbers = near.getsockname()[0].replace(".", ",")
    near.sendall(f"PORT {numbers},200,10\r\n".encode())
    heard = line(far)
    if not heard.startswith(f"PORT {public.replace('.', ',')},"):
        raise OSError(f"{heard!r} arrived at the server")
    far.sendall(b"200 done\r\n")
    expect(near, b"200 done\r\n")
    return heard


def line(end: socket.socket) -> str:
    """All up to the end of a line."""
    heard = b""
    while not heard.endswith(b"\n"):
        some = end.recv(1)
        if not some:
            raise OSError(f"the connection was closed after {heard!r}")
        heard += some
    return heard.decode("latin-1")
