"""Leaves passwords out of what is shown: in events, logs, explanations and replays.

It knows commands of FTP, POP3, IMAP, IRC and SMTP, headers of SIP, RTSP and HTTP, keys of SDP, and addresses with a password.
What a protocol sends in a line of its own, such as the answer to a challenge, cannot be told from other lines.
"""

from __future__ import annotations

import re

_JUNK = rb"[^a-z\r\n]*(?:\xff[\xfb-\xfe][a-z][^a-z\r\n]*)*"
"""Some servers accept blanks, Telnet's codes and other characters before a command, so everything that is no letter may
be there. The code of a Telnet option may be one."""

_BETWEEN = rb"[\x00\x80-\xff]*"
"""What some servers ignore within a command."""

_WORDS = b"|".join(
    _BETWEEN.join(bytes((each,)) for each in word)
    for word in (b"PASS", b"ACCT", b"ADAT", b"APOP", b"OPER")
)
"""What follows these commands of FTP, POP3 and IRC is a password."""

_ORIGIN = rb"(?:[@:]\S{1,512}[ ]{1,8}){0,2}"
"""What IRC allows before a command."""

_HEADS = (
    _ORIGIN + _JUNK + rb"(?:" + _WORDS + rb")(?!\r?(?:\n|\Z))(?=[^a-z0-9_\n])",
    # FTP's SITE PSWD and its like.
    _JUNK + rb"SITE[ ]+[a-z]{0,8}(?:PASS|PSW|PWD)[a-z]{0,8}(?=[ ])",
    # IMAP and IRC, perhaps after a tag, but not "530 Login incorrect".
    rb"(?![1-6][0-9][0-9][ -])(?:\S{1,64}[ ]+)?(?:LOGIN|AUTHENTICATE)(?=[ ])",
    # SMTP and POP3. A mechanism alone, as in AUTH TLS, is no password.
    rb"[ \t]*AUTH[ ]+\S{1,64}(?=[ ]+\S)",
    # IRC's services.
    _ORIGIN + rb"(?:PRIVMSG[ ]+)?(?:NICKSERV|NS)(?:@\S{1,64})?[ ]+:?[a-z]{1,16}(?=[ ])",
    # SIP, RTSP and HTTP.
    rb"(?:(?:Proxy-)?Authorization|Authentication-Info|(?:Set-)?Cookie|X-[a-z-]{0,32}(?:Token|Key))[ \t]*:",
    # SDP.
    rb"(?:a=(?:crypto|ice-pwd|key-mgmt):|k=)",
)

_LINE = re.compile(
    rb"(?i)((?:\A|[\r\n])(?:" + rb"|".join(_HEADS) + rb"))"
    rb"(?:[^\n]|\n[ \t])*?(?=\r?(?:\n(?![ \t])|\Z))"
)
"""Lines with a password, up to their end and that of lines that continue them. A bare CR may be part of a password."""

_ADDRESS = re.compile(rb"(?i)(\b[a-z][a-z0-9+.-]{0,15}:(?://)?[^\s:/@]{0,64}:)[^\s:/@]{1,128}(?=@)")
"""`sip:user:password@host`."""

_FIELD = re.compile(rb"(?i)(\b(?:password|passwd|passphrase|pwd|token|secret|api_?key)=)[^\s&;,]+")


def without_passwords(line: bytes) -> bytes:
    """Return a line, or several, with `***` for each password."""
    line = _LINE.sub(rb"\1 ***", line)
    if b"@" in line:
        line = _ADDRESS.sub(rb"\1***", line)
    return _FIELD.sub(rb"\1***", line) if b"=" in line else line


def has_password(line: bytes) -> bool:
    return without_passwords(line) != line


_HEADERS = {1: 8, 6: 20, 17: 8}
"""Bytes of the headers of ICMP, TCP (without options) and UDP."""


def headers(packet: bytes) -> bytes:
    """Return the headers of an IPv4 packet, without what it carries: any part of that may be part of a password. The packet
    may be malformed in any way."""
    length = (packet[0] & 0x0F) * 4 if packet else 0
    if len(packet) < 20 or length < 20 or int.from_bytes(packet[6:8], "big") & 0x1FFF:
        return packet[: max(20, length)]
    end = length + _HEADERS.get(packet[9], 0)
    if packet[9] == 6 and len(packet) > length + 12:
        end = length + (packet[length + 12] >> 4) * 4
    return packet[: max(20, end)]
