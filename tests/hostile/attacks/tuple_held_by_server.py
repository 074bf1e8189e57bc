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
    found = {}
    for port in (443, 21):
        for state, end_server in (("ESTABLISHED", lambda far: None), ("FIN-WAIT", _finish)):
            found[port, state] = again(network, port, end_server, early=1)
            network.gateway.rows("flows")
    plain = [f"{state}: {said}" for (port, state), said in found.items() if port == 443 and said]
    control(not plain, f"even on port 443: {'; '.join(plain)}")
    bad = [f"server in {state}: {said}" for (_, state), said in found.items() if said]
    return held_if(not bad, "; ".join(bad) or "the ends recover, on port 21 as on 443")


def _finish(far: socket.socket) -> None:
    far.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
