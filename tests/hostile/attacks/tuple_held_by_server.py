"""A client crashes and connects again from the same port, while the server still holds the old connection.

The server answers the SYN with an old acknowledgment, the client resets that connection, and then repeats its
SYN (RFC 9293, 3.5.1). Both segments must pass, or the ends never recover. Port 443 is the control.
"""

from __future__ import annotations

import socket
import time

from tests.hostile.attacks.tuple_used_again import again
from tests.hostile.network import Network
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 4"


def attack(network: Network) -> Verdict:
    bad = []
    for state, end_server in (("ESTABLISHED", lambda far: None), ("FIN-WAIT", _finish)):
        for forget in (False, True):
            found = [again(network, port, end_server, 1, forget) for port in (443, 21)]
            control(not found[0], f"even on port 443: {found[0]}")
            if found[1]:
                then = "gateway has forgotten it" if forget else "gateway remembers it"
                bad.append(f"server in {state}, {then}: {found[1]}")
    return held_if(not bad, "; ".join(bad) or "the ends recover, on port 21 as on 443")


def _finish(far: socket.socket) -> None:
    far.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
