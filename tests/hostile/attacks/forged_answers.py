"""TFTP requests with forged sources to a published server, which answers each from another port.

They have soon caused more flows than the server may have public ports: a client still gets its file, and the
server's own questions leave.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.hostile import packets
from tests.hostile.network import ATTACKER, PUBLIC, SERVER, STRANGER, Network, meanwhile
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "A-21; A-29"
ROWS = ("A-21", "A-29")
SETTINGS = {"limits": {"ports_per_host": 64}, "helper.tftp": {}}
REQUEST = b"\0\1boot.img\0octet\0"
ACKNOWLEDGED = b"\0\4\0"
BLOCKS = 3
COUNT, RATE, TRIES = 1500, 300, 4
PAUSE = 0.5
"""Seconds until a client asks again. The server waits for longer."""


def attack(network: Network) -> Verdict:
    network.gateway.ask("forward_add", name="tftp", protocol="udp", ports="69", inside=ATTACKER)
    with _server(network):
        control(_fetches(network), "a client does not get its file")
        with meanwhile(network.outside.pour, _requests(), RATE) as flood:
            time.sleep(1)  # the flood has caused far more flows than there are ports by then
            got = [_fetches(network)]
            while flood.is_alive():
                time.sleep(PAUSE)  # each file takes a port, too
                got.append(_fetches(network))
        asked = _asks(network)
    text = f"{sum(got)} of {len(got)} files arrived"
    return held_if(all(got) and asked, text if asked else "the server's own question is refused")


def _requests() -> Iterator[bytes]:
    for number in range(COUNT):
        source = f"192.0.{number >> 8}.{number & 255}"
        yield packets.udp((source, 4000), (PUBLIC, 69), REQUEST)


def _fetches(network: Network) -> bool:
    """Whether a client gets all blocks, each within a few tries."""
    with network.udp(STRANGER) as client:
        client.settimeout(PAUSE)
        to: tuple[str, int] = (PUBLIC, 69)
        said = REQUEST
        for block in range(1, BLOCKS + 1):
            answer = _ask(client, said, to)
            if answer is None or answer[0][:4] != b"\0\3\0" + bytes((block,)):
                return False
            to, said = answer[1], ACKNOWLEDGED + bytes((block,))
        client.sendto(said, to)
        return True


def _ask(
    client: socket.socket, said: bytes, to: tuple[str, int]
) -> tuple[bytes, tuple[str, int]] | None:
    for _ in range(TRIES):
        client.sendto(said, to)
        with suppress(TimeoutError):
            return client.recvfrom(600)
    return None


def _asks(network: Network) -> bool:
    with network.udp(ATTACKER) as asking, network.udp(SERVER, 5000) as asked:
        asking.sendto(b"question", (SERVER, 5000))
        with suppress(TimeoutError):
            return asked.recv(100) == b"question"
    return False


@contextmanager
def _server(network: Network) -> Iterator[None]:
    """Answers each request from a port of its own; whoever acknowledges gets the next block."""
    ended = threading.Event()

    def serve() -> None:
        with network.udp(ATTACKER, 69) as well_known:
            well_known.settimeout(0.1)
            while not ended.is_set():
                with suppress(TimeoutError):
                    _, client = well_known.recvfrom(600)
                    with network.udp(ATTACKER) as own:
                        _answer(own, client, lasting=client[0] == STRANGER)

    with meanwhile(serve):
        try:
            yield
        finally:
            ended.set()


def _answer(own: socket.socket, client: tuple[str, int], lasting: bool) -> None:
    """`lasting`: the client is known to acknowledge, so the others need not be waited for."""
    own.settimeout(2 * PAUSE)
    block = 1
    while block <= BLOCKS:
        own.sendto(b"\0\3\0" + bytes((block,)) + bytes(512), client)
        if not lasting:
            return
        try:
            block = own.recv(600)[3] + 1
        except TimeoutError:
            return
