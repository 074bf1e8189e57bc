"""A client crashes and connects again from the same port; the server has forgotten the old connection too.

Port 443, which no helper inspects, is the control.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from contextlib import suppress

from tests.hostile.network import CLIENT, SERVER, STRANGER, Network, converse, crash, failure
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 4"
_sources = itertools.count(40_000)
PATIENCE = 15
"""Seconds; a SYN is repeated after 1, 3 and 7."""


def attack(network: Network) -> Verdict:
    found = {port: again(network, port, crash, early=2) for port in (443, 21)}
    control(not found[443], f"even on port 443: {found[443]}")
    return held_if(not found[21], found[21] or "the new connection works, on port 21 as on 443")


def again(
    network: Network,
    port: int,
    end_server: Callable[..., object],
    early: int,
    forget: bool = False,
) -> str:
    """How the second connection from the same port fails; empty if it works.

    `end_server` does to the server's end what shall have happened to it; `early` lines are exchanged;
    `forget`: the gateway has forgotten the first connection, but not the public port.
    """
    source = next(_sources)
    with (
        network.listen(SERVER, port) as listener,
        network.listen(STRANGER, 5002) as other,
        network.tcp(CLIENT, source) as same_port,
    ):
        same_port.connect((STRANGER, 5002))
        near = network.tcp(CLIENT, source)
        near.connect((SERVER, port))
        far = listener.accept()[0]
        for _ in range(early):
            converse(near, far)
        end_server(far)
        crash(near)
        if forget:
            flow = network.gateway.flow((CLIENT, source), (SERVER, port))
            control(flow, "the first connection is no flow")
            network.gateway.ask("close", flow=flow["id"] if flow else 0)
        listener.settimeout(PATIENCE)
        with network.tcp(CLIENT, source) as near, other.accept()[0]:
            near.settimeout(PATIENCE)
            trouble = failure(near.connect, (SERVER, port))
            trouble = trouble or failure(_use, near, listener)
    with suppress(OSError):
        far.close()
    return trouble


def _use(near: socket.socket, listener: socket.socket) -> None:
    with listener.accept()[0] as far:
        far.settimeout(5)
        converse(near, far)
