"""The helper for rexec, rexecd(8): in its first message the client says where it accepts the connection for errors.

A client sends to TCP port 512, each string with a NUL at its end:

    PORT, USER, PASSWORD, COMMAND

PORT is a number as text. If it is not 0, the server connects to that port of the client and sends there what the
command writes to its standard error. No address is named; the client's own is meant.
"""

from __future__ import annotations

from ipmasq.core.helper import Framer, Helper, HelperContext, Speaker
from ipmasq.wire.addresses import Endpoint

LONGEST = len(b"65535\0")


class PortFirst:
    """Ends a message at its NUL. Only the first one of a connection is of interest, so inspection begins at the first
    byte or not at all: a user may be called 5000."""

    longest = LONGEST
    overlap = None

    def end(self, data: bytes | bytearray, searched: int) -> int:
        at = data.find(b"\0")
        number = data if at < 0 else data[:at]
        if len(number) >= LONGEST or (number and not number.isdigit()):
            raise ValueError("the first message is no port")
        return at + 1

    def count(self, data: bytes) -> int:
        return data.count(b"\0")

    def end_of(self, data: bytes, count: int) -> int:
        end = 0
        for _ in range(count):
            end = data.index(b"\0", end) + 1
        return end


class Rexec(Helper):
    name = "rexec"
    ports = (512,)
    orthogonal = True

    def framer(self) -> Framer:
        return PortFirst()

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        return speaker is Speaker.CLIENT

    def on_line(self, line: bytes, context: HelperContext) -> None:
        if context.speaker is not Speaker.CLIENT:
            return
        port = int(line[:-1] or b"0")
        if 0 < port <= 65535:
            client = context.endpoint(Speaker.CLIENT)
            public = context.expect(Endpoint(client.address, port))
            if public and public.port != port:
                context.replace(0, len(line) - 1, b"%d" % public.port)
        context.stop()  # what follows is a name, a password and a command
