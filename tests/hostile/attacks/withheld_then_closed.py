"""A client says the beginning of a command and closes: the server must get these bytes, and the end.

The gateway withholds what may become an announcement, and has acknowledged it by then. `NOOP`, which is not
withheld, is the control.
"""

from __future__ import annotations

import socket
import time

from tests.hostile.ftp import session
from tests.hostile.network import PUBLIC, Network, failure, receive
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 5"


def attack(network: Network) -> Verdict:
    lost = []
    for text in (b"NOOP", b"P", b"PORT 10", b"EPRT |1|10.0"):
        for pause in (0.0, 0.5):
            with network.connection(21) as (near, far):
                session(near, far, PUBLIC)
                near.sendall(text)
                time.sleep(pause)
                near.shutdown(socket.SHUT_WR)
                heard = bytearray()
                trouble = failure(lambda far=far, heard=heard: heard.extend(receive(far, 1000)))
                if trouble or heard != text:
                    control(text != b"NOOP", f"even NOOP is lost: {trouble or bytes(heard)!r}")
                    lost.append(f"{text.decode()!r}: {trouble or bytes(heard)}")
    return held_if(not lost, "; ".join(lost) or "bytes and end arrive")
