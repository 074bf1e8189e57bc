"""Announcements that end with a line feed alone must arrive within three seconds.

Some programs end their lines so (RFC 959 says CR LF). What is withheld as the beginning of an announcement
has a way out: the end of its line, or time.
"""

from __future__ import annotations

from tests.hostile.ftp import line, session
from tests.hostile.network import PUBLIC, Network, failure
from tests.hostile.verdict import Verdict, held_if

REFERENCE = "issue 7, point 5"
SAID = {
    "client": (b"PORT 10,0,0,2,4,1\n", b"EPRT |1|10.0.0.2|1025|\n", b"NOOP\n"),
    "server": (
        b"227 Entering Passive Mode (198,51,100,1,4,1)\n",
        b"229 Entering Extended Passive Mode (|||1025|)\n",
    ),
}


def attack(network: Network) -> Verdict:
    lost = []
    for speaker, lines in SAID.items():
        for text in lines:
            with network.connection(21) as (near, far):
                session(near, far, PUBLIC)
                source, sink = (near, far) if speaker == "client" else (far, near)
                if speaker == "server":
                    near.sendall(b"EPSV\r\n" if text.startswith(b"229") else b"PASV\r\n")
                    line(far)
                source.sendall(text)
                sink.settimeout(3)
                if failure(line, sink):
                    lost.append(repr(text.decode()))
    return held_if(not lost, f"never arrived: {', '.join(lost)}" if lost else "all arrive in time")
