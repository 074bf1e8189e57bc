"""The four cases of the README as captures of the inside network, and one that is hostile."""

from __future__ import annotations

import io
from dataclasses import replace

from ipmasq.core.policy import Forward, Policy, PortRange
from ipmasq.replay.recorder import Recorder
from ipmasq.replay.replay import replay
from ipmasq.replay.steps import Steps
from ipmasq.wire.addresses import to_address
from tests.replay.tape import CLIENT, POLICY, SERVER, Talk, Tape

REMOTE, INSIDE_SERVER = "198.51.100.9", "10.0.0.5"
FORWARD = Forward("ftp", 6, None, PortRange(2121, 2121), to_address(INSIDE_SERVER), 21)
PUBLISHED = replace(POLICY, forwards=(FORWARD,))
PORT_COMMAND, PASSIVE_REPLY = b"PORT %s,19,137\r\n", b"227 Entering Passive Mode (%s,19,137)\r\n"


def _transfer(client: str, server: str, active: bool) -> Tape:
    """A directory listing; `active`: the client announces the data connection, else the server does."""
    tape = Tape()
    control = Talk(tape, (client, 40000), (server, 21))
    control.server(b"220 ready\r\n")
    control.client(b"USER me\r\n")
    control.client(b"PASS secret\r\n")
    if active:
        control.client(PORT_COMMAND % client.replace(".", ",").encode())
        control.server(b"200 fine\r\n")
    else:
        control.client(b"PASV\r\n")
        control.server(PASSIVE_REPLY % server.replace(".", ",").encode())
    control.client(b"LIST\r\n")
    ends = ((server, 20), (client, 5001)) if active else ((client, 40001), (server, 5001))
    data = Talk(tape, *ends)
    (data.client if active else data.server)(b"a listing\r\n" * 10)
    data.close()
    control.server(b"226 done\r\n")
    return tape


CASES: dict[str, tuple[Tape, Policy]] = {
    "client masqueraded, client announces": (_transfer(CLIENT, SERVER, True), POLICY),
    "client masqueraded, server announces": (_transfer(CLIENT, SERVER, False), POLICY),
    "server masqueraded, server announces": (_transfer(REMOTE, INSIDE_SERVER, False), PUBLISHED),
    "server masqueraded, client announces": (_transfer(REMOTE, INSIDE_SERVER, True), PUBLISHED),
}

HOSTILE = (
    b"<script>document.title='owned'</script><img src=x onerror=alert(1)>",
    b"\x1b[2J\x00\x07\xe2\x80\xae\xed\xa0\x80 &amp; \"'`${7*7}</td></table></script>",
    b"]]><!-- --!></style><base href='http://198.51.100.1/'>",
)


def hostile() -> Tape:
    """A control connection on which both ends say what a browser would act on."""
    tape = Tape()
    control = Talk(tape, (CLIENT, 40000), (SERVER, 21))
    for text in HOSTILE:
        control.server(b"220 " + text + b"\r\n")
        control.client(b"USER " + text + b"\r\n")
    control.client(b"PORT 10,0,0,99,19,137\r\n")
    return tape


def steps(tape: Tape, policy: Policy = POLICY, most: int = 10_000) -> Steps:
    recorder = Recorder(most)
    replay(io.BytesIO(tape.buffer.getvalue()), io.BytesIO(), policy, None, 1, recorder)
    return recorder.result
