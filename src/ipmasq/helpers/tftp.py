"""TFTP (RFC 1350): the answer to a request comes from another port.

A client sends its request from a port of its choice to port 69. The server answers from a port that it has chosen
for this transfer (RFC 1350, 4), so the answer is no reply of the flow that the request has opened. Nothing in a
datagram names an address, so nothing is rewritten.
"""

from __future__ import annotations

import re

from ipmasq.core.helper import UDP, Helper, HelperContext, Speaker

_TEXT = rb"[ -~\x80-\xff]"
REQUEST = re.compile(
    rb"\x00[\x01\x02]"
    rb"%(text)b{1,255}\x00"
    rb"(?i:netascii|octet|mail)\x00"
    rb"(?:%(text)b{1,64}\x00%(text)b{0,64}\x00){0,16}" % {b"text": _TEXT}
)
"""A read or write request: file name, mode, options (RFC 1350, 5; RFC 2347). It must match whole: a browser can be
made to send a STUN request to port 69, which begins with the same two bytes."""


class Tftp(Helper):
    name = "tftp"
    ports = (69,)
    protocol = UDP
    orthogonal = True
    state_version = 1  # there is no state
    max_line = 512  # RFC 2347: the largest request

    def on_line(self, line: bytes, context: HelperContext) -> None:
        if context.speaker is Speaker.CLIENT and REQUEST.fullmatch(line):
            context.expect(context.endpoint(Speaker.CLIENT), UDP)
