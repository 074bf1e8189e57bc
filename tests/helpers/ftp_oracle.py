"""A second opinion on FTP announcements, from Python's own client where there is one, and the laws that
every line must keep. Used by the properties and by the fuzz target."""

from __future__ import annotations

import contextlib
import ftplib

from ipmasq.core.helper import Helper, Speaker
from ipmasq.testing import Heard, Talk
from ipmasq.wire.addresses import Endpoint, to_address


def read(line: bytes, speaker: Endpoint) -> Endpoint:
    """The endpoint that a listener takes from this announcement of `speaker`. Raises if there is none."""
    text = skip_telnet(line).decode("latin-1").removesuffix("\r\n")
    if text.startswith("227 "):
        host, port = ftplib.parse227(text)
        return Endpoint(to_address(host), port)
    if text.startswith("229 "):
        (port,) = _ports_of_229(text)
        return Endpoint(speaker.address, port)
    verb, argument = text.split(" ", 1)
    if verb.upper() == "PORT":
        *host, high, low = map(int, argument.split(","))
        return Endpoint(bytes(host), high * 256 + low)
    assert verb.upper() == "EPRT", line
    _, family, host, port, _ = argument.split(argument[0])
    endpoint = Endpoint(to_address(host), int(port))
    assert family == {4: "1", 16: "2"}[len(endpoint.address)]
    return endpoint


def _ports_of_229(text: str) -> set[int]:
    """What ftplib reads at each parenthesis; it looks at the first one only, but text may have some too."""
    ports = set()
    for at in (at for at, character in enumerate(text) if character == "("):
        with contextlib.suppress(ftplib.Error, ValueError):
            ports.add(ftplib.parse229("229 " + text[at:], ("peer", 21))[1])
    return ports


def skip_telnet(line: bytes) -> bytes:
    """Without the Telnet commands that it begins with (RFC 854)."""
    while line[:1] == b"\xff" and line[1] != 0xFF:
        subnegotiation, option = line[1] == 0xFA, line[1] > 0xFA
        line = line.partition(b"\xff\xf0")[2] if subnegotiation else line[2 + option :]
    return line


def check(talk: Talk, speaker: Speaker, heard: Heard) -> None:
    """Raises AssertionError unless this line was treated lawfully."""
    me = talk.ends.real(speaker)
    assert len(heard.opened) <= 1
    assert heard.after.endswith(b"\n")
    assert heard.after.count(b"\n") == 1
    for opened in heard.opened:
        assert opened.announced.address in (me.address, talk.ends.public(speaker))
        assert opened.announced.port >= 1024
    if heard.after != heard.line:
        assert heard.opened
        _only_one_place_differs(heard.line, heard.after)
    if heard.opened and not _is_transfer(heard):
        (opened,) = heard.opened
        # A 229 says no address: its listener uses the one that it knows.
        told = read(heard.after, Endpoint(talk.ends.public(speaker), 0))
        assert told == opened.public, (heard.line, heard.after)


def check_awaited(before: Helper, speaker: Speaker, heard: Heard) -> None:
    """`before`: the helper as it was. It must have awaited every beginning of a line that it changes."""
    if heard.after != heard.line:
        for end in range(len(heard.line) - 1):
            assert before.may_rewrite(speaker, heard.line[:end]), heard.line[:end]


def _is_transfer(heard: Heard) -> bool:
    verb = skip_telnet(heard.line).split(b" ")[0].strip().upper()
    return verb in (b"RETR", b"STOR", b"STOU", b"APPE", b"LIST", b"NLST", b"MLSD")


def _only_one_place_differs(before: bytes, after: bytes) -> None:
    """What differs is ASCII, and short enough to be an endpoint and nothing else."""
    start = 0
    while before[start] == after[start]:
        start += 1
    end = 0
    while before[-1 - end] == after[-1 - end] and end < min(len(before), len(after)) - start:
        end += 1
    written = after[start : len(after) - end]
    assert written.isascii()
    assert len(written) <= 60
