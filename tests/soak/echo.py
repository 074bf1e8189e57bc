"""Answers with what it hears, over TCP and UDP: `python -m tests.soak.echo PORT`, until it is ended."""

from __future__ import annotations

import socket
import sys
import threading

from tests.soak.worker import PATIENCE


def serve(port: int) -> None:
    with socket.create_server(("", port), backlog=256) as listening:
        while True:
            link, _ = listening.accept()
            threading.Thread(target=_answer, args=(link,), daemon=True).start()


def _answer(link: socket.socket) -> None:
    link.settimeout(PATIENCE)
    with link:
        try:
            while heard := link.recv(1 << 16):
                link.sendall(heard)
        except OSError:
            return  # the client tells what it missed


def serve_datagrams(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("", port))
        while True:
            heard, peer = own.recvfrom(1 << 16)
            own.sendto(heard, peer)


if __name__ == "__main__":
    threading.Thread(target=serve_datagrams, args=(int(sys.argv[1]),), daemon=True).start()
    serve(int(sys.argv[1]))
