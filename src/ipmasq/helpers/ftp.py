"""FTP: RFC 959, RFC 1123 4.1.2, RFC 2428.

A data connection is announced on the control connection, as text, by either end:

    client:  PORT 10,0,0,2,4,1                      server:  227 Entering Passive Mode (10,0,0,2,4,1).
    client:  EPRT |1|10.0.0.2|1025|                 server:  229 Extended Passive Mode (|||1025|)

or by neither: then the server connects to the port from which the client's control connection comes.
An end always announces its own endpoint, so one rule covers all cases: expect a flow there, and if the other
end must see that endpoint differently, rewrite the announcement. Any malformed announcement passes unchanged.

A PORT or EPRT counts as soon as it is sent, because the server may connect as soon as it has read it. A 227
or 229 counts only while a PASV or EPSV is pending. `ftp_dialogue` tells which reply answers which command.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ipmasq.core.helper import ANYWHERE, Fields, Helper, HelperContext, Plain, Speaker
from ipmasq.helpers.ftp_dialogue import (
    AUTH,
    ECHOED,
    END,
    EPRT,
    EPSV,
    EPSV_ALL,
    HTTP,
    LOGIN,
    OTHER,
    PASSIVE,
    PASV,
    PORT,
    RESTART,
    TELNET,
    TRANSFER,
    Dialogue,
)
from ipmasq.wire.addresses import Endpoint, to_address, to_text

MEANING = {
    **{verb: verb for verb in (PORT, EPRT, PASV, EPSV, AUTH, LOGIN)},
    **dict.fromkeys(
        b"REIN HOST".split(), RESTART
    ),  # both are answered by a 220, as a new connection is
    **dict.fromkeys(b"RETR STOR STOU APPE LIST NLST MLSD".split(), TRANSFER),
    **dict.fromkeys(b"GET POST PUT HEAD OPTIONS DELETE PATCH CONNECT".split(), HTTP),
}
"""The meaning of a command; all others mean OTHER. HTTP commands come from a browser that was tricked into
connecting here."""

SECURED = (b"234", b"334")
"""Replies that grant an AUTH and nothing else (RFC 2228, 3). Some servers use other codes for that."""

TLS = b"\x16\x03"
"""The beginning of a TLS handshake (RFC 8446, 5.1), with which FTPS begins at port 990 (if the helper is bound to that)."""

LONGEST_BEGINNING = 1024
"""Bytes of a line whose end has not come for which it may still be rewritten. Announcements have less than a hundred;
and what begins a line is looked at again with each segment, however short."""

MOST_ASKED = 4096
"""The most commands without a reply. A NOOP every few seconds through a transfer of hours must fit."""

TELNET_BEGUN = rb"(?s:\xff(?:[\xfb-\xfe]?|\xfa(?:[^\xff]|\xff\xff)*\xff?))"

NUMBERS = re.compile(rb"[0-9]{1,3}(?:,[0-9]{1,3}){5}")
"""h1,h2,h3,h4,p1,p2 in decimal, with or without leading zeros."""
EXTENDED = (
    rb"(?P<body>(?P<d>[!-~])(?P<family>(?:(?!(?P=d))[^\r\n]){0,45})(?P=d)"
    rb"(?P<address>(?:(?!(?P=d))[^\r\n]){0,45})(?P=d)(?P<port>(?:(?!(?P=d))[0-9]){1,5})(?P=d))"
)
"""<d>family<d>address<d>port<d>, where <d> is any one visible character."""

COMMAND = re.compile(TELNET + rb"(?P<verb>[A-Za-z]+)(?: (?P<argument>(?s:.*?)))?" + END)
NOTHING = re.compile(TELNET + END)
IN_PORT = re.compile(TELNET + rb"(?i:PORT) (?P<numbers>[0-9,]+) *" + END)
IN_EPRT = re.compile(TELNET + rb"(?i:EPRT) " + EXTENDED + END)
IN_227 = re.compile(rb"(?<![0-9])(?P<numbers>[0-9]+(?:,[0-9]+){5,})")
IN_229 = re.compile(rb"\(" + EXTENDED + rb"\)")
START = re.compile(TELNET + rb"(?P<start>(?s:.{0,5}))")
START_BEGUN = re.compile(TELNET + TELNET_BEGUN)


class Ftp(Helper):
    name = "ftp"
    ports = (21,)
    orthogonal = True
    state_version = 1
    terminator = b"\n"
    max_line = 8192  # enough for a 257 with the longest path; a reply that is not seen would spoil the count

    def __init__(self) -> None:
        self.dialogue = Dialogue()
        self.default_port = True
        """Whether no PORT, EPRT, PASV or EPSV was accepted since the login."""
        self.epsv_only = False
        """Whether the client has sent EPSV ALL and the server has agreed."""

    def to_state(self) -> Plain:
        return {
            "dialogue": self.dialogue.to_state(),
            "default_port": self.default_port,
            "epsv_only": self.epsv_only,
        }

    def restore(self, state: Fields) -> None:
        self.dialogue = Dialogue.from_state(state.fields("dialogue"))
        self.default_port = state.boolean("default_port")
        self.epsv_only = state.boolean("epsv_only")

    def may_rewrite(self, speaker: Speaker, partial: bytes) -> bool:
        if speaker is Speaker.CLIENT:
            return _could_become(partial, b"PORT ", b"EPRT ")
        # If no command is pending, one may arrive before the line is complete.
        said = self.dialogue
        passive = not said.unanswered or said.pending[PASV] or said.pending[EPSV]
        text = said.within not in (b"", *PASSIVE)
        return bool(passive) and not text and _could_become(partial, b"227 ", b"229 ")

    def on_line(self, line: bytes, context: HelperContext) -> None:
        if line.startswith(TLS):
            context.stop(encrypted=True)
        elif context.speaker is Speaker.SERVER:
            code = self.dialogue.reply(line)
            if code is not None:
                self._on_answer(code, line, context)
        elif not NOTHING.fullmatch(line):  # servers do not answer an empty line
            self._on_command(line, context)

    def _on_command(self, line: bytes, context: HelperContext) -> None:
        command = COMMAND.fullmatch(line)
        meaning = MEANING.get(command["verb"].upper(), OTHER) if command else OTHER
        if command and meaning == EPSV and (command["argument"] or b"").upper() == b"ALL":
            meaning = EPSV_ALL
        if meaning == OTHER and (b"227" in line or b"229" in line):
            meaning = ECHOED
        self.dialogue.command(meaning)
        if meaning == HTTP or len(self.dialogue.unanswered) > MOST_ASKED:
            context.stop()
        elif meaning in (LOGIN, RESTART):
            context.forget()  # servers do so at once, whether the login succeeds or not
        elif meaning in (PORT, EPRT):
            self._on_announcement(meaning, meaning, line, context)
        elif meaning == TRANSFER:
            self._on_transfer(context)

    def _on_answer(self, code: bytes, line: bytes, context: HelperContext) -> None:
        alone = len(self.dialogue.unanswered) == 1
        asked = self.dialogue.answered(code)
        if code in SECURED or (asked == AUTH and alone and code < b"4"):
            context.stop(encrypted=True)  # including a CCC that would end it
        elif code < b"4":
            self._on_success(asked, code, line, context)

    def _on_success(self, asked: bytes, code: bytes, line: bytes, context: HelperContext) -> None:
        if asked in (LOGIN, RESTART):
            self.default_port, self.epsv_only = True, False
        elif asked == EPSV_ALL:
            self.epsv_only = True
        elif asked in (PORT, EPRT, PASV, EPSV):
            self.default_port = False
            if code in PASSIVE and self.dialogue.is_line:
                self._on_announcement(
                    asked, code, line, context
                )  # clients act on what they are told

    def _on_announcement(self, by: bytes, form: bytes, line: bytes, context: HelperContext) -> None:
        said = READ[form](line) if self._may_open(by) else None
        translated = context.expect(said.endpoint) if said else None
        if said and translated and said.differs(translated):
            context.replace(*said.span, said.write(translated))

    def _on_transfer(self, context: HelperContext) -> None:
        """Without an announcement the data connection goes to the client's control port (RFC 959 3.2). The
        server knows that port, so nothing has to be rewritten."""
        announcing = any(self.dialogue.pending[verb] for verb in (PORT, EPRT, PASV, EPSV))
        if self.default_port and not announcing and self._may_open(TRANSFER):
            context.expect(context.endpoint(Speaker.CLIENT))

    def _may_open(self, by: bytes) -> bool:
        """Return False while it is open whether AUTH will turn the connection into ciphertext (RFC 6384 5),
        and after EPSV ALL for all but EPSV (RFC 2428 4)."""
        return not self.dialogue.is_securing and (by == EPSV or not self.epsv_only)


def _could_become(partial: bytes, *lines: bytes) -> bool:
    if len(partial) > LONGEST_BEGINNING:
        return False
    if START_BEGUN.fullmatch(partial):
        return True
    found = START.match(partial)
    start = found["start"].upper() if found else b""
    return any(start.startswith(line) or line.startswith(start) for line in lines)


class Announcement(NamedTuple):
    endpoint: Endpoint
    """The address is ANYWHERE if only the port was announced."""
    span: tuple[int, int]
    """The bytes of the line that `write` replaces."""
    write: Callable[[Endpoint], bytes]

    def differs(self, translated: Endpoint) -> bool:
        """Return whether the other end must be told something else. An end that is told no address uses the
        one by which it has reached the speaker."""
        port_only = self.endpoint.address == ANYWHERE
        return translated.port != self.endpoint.port if port_only else translated != self.endpoint


def _read_port(line: bytes) -> Announcement | None:
    said = _read_numbers(IN_PORT.fullmatch(line))
    return said if said and said.endpoint.address != ANYWHERE else None


def _read_227(line: bytes) -> Announcement | None:
    """Parse the reply in any language, with or without parentheses (RFC 1123 4.1.2.6). Some servers announce
    0,0,0,0, which every client takes for the address of the control connection."""
    return _read_numbers(_only(IN_227, line))


def _read_numbers(found: re.Match[bytes] | None) -> Announcement | None:
    if not found or not NUMBERS.fullmatch(found["numbers"]):
        return None
    *address, high, low = map(int, found["numbers"].split(b","))
    if max(*address, high, low) > 255 or not high | low:
        return None
    endpoint = Endpoint(bytes(address) if any(address) else ANYWHERE, high << 8 | low)
    return Announcement(endpoint, found.span("numbers"), _write_numbers)


def _write_numbers(translated: Endpoint) -> bytes:
    return b"%d,%d,%d,%d,%d,%d" % (*translated.address, *divmod(translated.port, 256))


def _read_eprt(line: bytes) -> Announcement | None:
    """Parse EPRT. An IPv4 address must not have leading zeros here, since some systems would read them as
    octal."""
    found = IN_EPRT.fullmatch(line)
    port = _port(found)
    if not found or not port or b"%" in found["address"]:
        return None
    try:
        address = to_address(found["address"].decode("ascii"))
    except ValueError:
        return None
    if found["family"] != FAMILY[len(address)] or not any(address):
        return None
    delimiter = found["d"]
    return Announcement(
        Endpoint(address, port),
        found.span("body"),
        lambda translated: _write_extended(delimiter, translated),
    )


def _write_extended(delimiter: bytes, translated: Endpoint) -> bytes:
    """Write with the client's delimiter, unless it could be taken for a part of the fields."""
    fields = (
        FAMILY[len(translated.address)],
        to_text(translated.address).encode(),
        b"%d" % translated.port,
    )
    d = b"|" if delimiter.isdigit() or delimiter in b"".join(fields) else delimiter
    return d + d.join(fields) + d


def _read_229(line: bytes) -> Announcement | None:
    """Parse the reply, in which only the port counts (RFC 2428 3): the client knows by which address it has
    reached the server."""
    found = _only(IN_229, line)
    port = _port(found)
    if not found or not port:
        return None
    group, form = ("body", b"|||%d|") if found["d"].isdigit() else ("port", b"%d")
    return Announcement(
        Endpoint(ANYWHERE, port), found.span(group), lambda translated: form % translated.port
    )


def _only(pattern: re.Pattern[bytes], line: bytes) -> re.Match[bytes] | None:
    """Return the only match. If there are two, clients differ in which one they use, so there is none."""
    found = list(pattern.finditer(line))
    return found[0] if len(found) == 1 else None


def _port(found: re.Match[bytes] | None) -> int:
    """Return the port, 1..65535, or 0 if there is none."""
    port = int(found["port"]) if found else 0
    return port if port <= 65535 else 0


FAMILY = {4: b"1", 16: b"2"}
READ = {PORT: _read_port, EPRT: _read_eprt, b"227": _read_227, b"229": _read_229}
