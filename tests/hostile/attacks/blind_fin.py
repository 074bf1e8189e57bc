"""FINs spread over the whole sequence space, in the name of either end, on a control connection.

One of them is within 64 MB of the right place. The real bytes and the real FIN must still arrive.
"""

from __future__ import annotations

import time

from tests.hostile import packets
from tests.hostile.ftp import session
from tests.hostile.network import CLIENT, PUBLIC, SERVER, Network, expect, failure
from tests.hostile.packets import ACK, FIN
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 4; A-28"
ROWS = ("A-28",)
APART = 1 << 25


def attack(network: Network) -> Verdict:
    said = []
    for side in ("outside", "inside"):
        with network.connection(21) as (near, far):
            session(near, far, PUBLIC)
            for number in range(0, 1 << 32, APART):
                if side == "outside":
                    ends = (SERVER, 21), far.getpeername()
                    network.outside.send(packets.tcp(*ends, FIN | ACK, number, number))
                else:
                    ends = (CLIENT, near.getsockname()[1]), (SERVER, 21)
                    network.inside.send(packets.tcp(*ends, FIN | ACK, number, number))
            time.sleep(0.3)
            near.sendall(b"QUIT\r\n")
            trouble = failure(expect, far, b"QUIT\r\n")
            far.sendall(b"221 Goodbye\r\n")
            far.close()
            trouble = (
                trouble or failure(expect, near, b"221 Goodbye\r\n") or failure(expect_end, near)
            )
            if trouble:
                said.append(f"after FINs from {side}: {trouble}")
    return held_if(not said, "; ".join(said) or "bytes and FIN arrive after FINs from both sides")


def expect_end(end: object) -> None:
    """Raises OSError if the connection is not closed by the other end."""
    if end.recv(1):  # type: ignore[attr-defined]
        raise OSError("more bytes instead of the end")
