"""A port forward whose name has a newline, or an escape sequence for the terminal of who reads the log.

It may be refused or written in another way, but never reach the log as it is.
"""

from __future__ import annotations

import time
from contextlib import suppress

from ipmasq.control.protocol import RequestError
from tests.hostile.network import Network, eventually
from tests.hostile.verdict import Verdict, control, held_if

REFERENCE = "issue 7, point 11"
NAMES = (
    "web\nFORGED an entry of its own",
    "web\x1b[2J\x1b[31m",
    "web\r\x07\x9b31m",
    "web\u2028next",
)


def attack(network: Network) -> Verdict:
    said = _logged(network, "web")
    control("web" in said, f"a plain name is not logged, but {said!r}")
    raw = []
    for name in NAMES:
        written = _logged(network, name)
        own = any(line.startswith("FORGED") for line in written.splitlines())
        if own or any(sign in written for sign in "\x1b\r\x07\x9b\u2028"):
            raw.append(ascii(name))
    return held_if(
        not raw, f"raw in the log: {', '.join(raw)}" if raw else "no name is raw in the log"
    )


def _logged(network: Network, name: str) -> str:
    """What is written to the log when a forward of that name comes and goes."""
    log = network.gateway.log
    before = log.stat().st_size
    with suppress(RequestError):
        network.gateway.ask(
            "forward_add", protocol="tcp", ports="8080", inside="10.0.0.2", name=name
        )
        network.gateway.ask("forward_remove", name=name)
        eventually(lambda: b"removed" in log.read_bytes()[before:], 2)
    time.sleep(0.1)
    return log.read_bytes()[before:].decode(errors="replace")
