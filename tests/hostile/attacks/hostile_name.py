"""A port forward whose name has a newline, or an escape sequence for the terminal of who reads the log.

It may be refused or written in another way, but never reach the log as it is.
"""

from __future__ import annotations

from contextlib import suppress

from ipmasq.control.protocol import RequestError
from tests.hostile.network import Network
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 11"
NAMES = (
    "web\nFORGED an entry of its own",
    "web\x1b[2J\x1b[31m",
    "web\r\x07\x9b31m",
    "web\u2028next",
)


def attack(network: Network) -> Verdict:
    raw = []
    for number, name in enumerate(NAMES):
        before = network.gateway.log.stat().st_size
        with suppress(RequestError):
            network.gateway.ask(
                "forward_add", protocol="tcp", ports=8080 + number, inside="10.0.0.2:80", name=name
            )
            network.gateway.ask("forward_remove", name=name)
        written = network.gateway.log.read_bytes()[before:].decode(errors="replace")
        lines = written.split("\n")
        if any(line.startswith("FORGED") for line in lines) or any(
            sign in written for sign in "\x1b\r\x07\x9b\u2028"
        ):
            raw.append(repr(name))
    return held_if(
        not raw, f"raw in the log: {', '.join(raw)}" if raw else "no name is raw in the log"
    )
