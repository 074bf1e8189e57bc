"""Requests to the control socket with text that no encoding has: lone surrogates, as JSON can write them.

Each must be answered, by an error or otherwise, and the log must show no traceback.
"""

from __future__ import annotations

import json
import socket

from tests.hostile.network import Network, failure
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 11"
SURROGATE = "\ud800"
REQUESTS: tuple[dict[str, object], ...] = (
    {"request": SURROGATE},
    {"request": "forward_remove", "arguments": {"name": SURROGATE}},
    {
        "request": "forward_add",
        "arguments": {"ports": "8080", "inside": "10.0.0.2", "name": SURROGATE},
    },
    {"request": "helper_load", "arguments": {"name": SURROGATE}},
    {"request": "helper_load", "arguments": {"file": SURROGATE}},
    {"request": "flows", "arguments": {"helper": SURROGATE}},
    {"request": "watch", "arguments": {"events": [SURROGATE], SURROGATE: 1}},
    {"request": "flows", "arguments": {"host": SURROGATE}},
)


def attack(network: Network) -> Verdict:
    path = str(network.gateway.socket)
    control(_answer(path, {"request": "status"}), "a plain request is not answered")
    silent = [str(request) for request in REQUESTS if not _answer(path, request)]
    trace = "Traceback" in network.gateway.said()
    said = f"no answer to {silent[0]!a}" if silent else "every request is answered"
    return held_if(not silent and not trace, said + (", with a traceback" if trace else ""))


def _answer(path: str, request: dict[str, object]) -> bytes:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(3)
        link.connect(path)
        link.sendall(json.dumps({"ipmasq": 1, **request}).encode() + b"\n")
        heard = bytearray()
        failure(lambda: heard.extend(link.recv(1 << 16)))
        return bytes(heard)
