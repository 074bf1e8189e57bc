"""What a resolver does that chooses its ports itself: a fresh socket on a random port for each query.

Run on the gateway's host: `random_ports.py SERVER PORT QUERIES KIND`, where KIND is one of `KINDS`. Prints JSON: how
many were asked, lost, and by a port of the given range.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import sys
import time
from collections.abc import Callable

AT_ONCE = 32
PATIENCE = 2.0
"""Seconds after which a query counts as lost."""
LOW, HIGH = 1024, 65535

SO_BINDTODEVICE = 25


def _unconnected(server: tuple[str, int]) -> socket.socket:
    """As dnsmasq's."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _dual(server: tuple[str, int]) -> socket.socket:
    """One of IPv6 that speaks IPv4 too."""
    each = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return each


def _on_device(server: tuple[str, int]) -> socket.socket:
    """As dnsmasq's with `server=ADDRESS@INTERFACE`."""
    each = _unconnected(server)
    each.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"go")
    return each


KINDS: dict[str, Callable[[tuple[str, int]], socket.socket]] = {
    "unconnected": _unconnected,
    "connected": _unconnected,
    "dual": _dual,
    "device": _on_device,
}


def _bound(kind: str, server: tuple[str, int]) -> socket.socket:
    each = KINDS[kind](server)
    each.setblocking(False)
    while True:
        try:
            each.bind(("::" if kind == "dual" else "0.0.0.0", random.randint(LOW, HIGH)))
            return each
        except OSError:  # taken: another one
            continue


def main(host: str, port: int, queries: int, kind: str) -> dict[str, object]:
    server = ("::ffff:" + host if kind == "dual" else host), port
    selector = selectors.DefaultSelector()
    asked = answered = 0
    lost: list[int] = []
    while asked < queries or selector.get_map():
        while asked < queries and len(selector.get_map()) < AT_ONCE:
            each = _bound(kind, server)
            if kind == "connected":
                each.connect(server)
            question = asked.to_bytes(4, "big")
            each.send(question) if kind == "connected" else each.sendto(question, server)
            selector.register(each, selectors.EVENT_READ, (asked, time.monotonic()))
            asked += 1
        for key, _ in selector.select(PATIENCE):
            assert isinstance(key.fileobj, socket.socket)
            said = key.fileobj.recv(100)
            answered += said == key.data[0].to_bytes(4, "big")
            selector.unregister(key.fileobj)
            key.fileobj.close()
        now = time.monotonic()
        for key in [k for k in selector.get_map().values() if now - k.data[1] > PATIENCE]:
            assert isinstance(key.fileobj, socket.socket)
            lost.append(key.fileobj.getsockname()[1])
            selector.unregister(key.fileobj)
            key.fileobj.close()
    return {"asked": asked, "answered": answered, "lost": lost}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
